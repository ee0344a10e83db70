package import ArgumentParser
package struct List: ParsableCommand { package init() {} }
