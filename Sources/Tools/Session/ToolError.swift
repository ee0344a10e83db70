/// Something that a tool cannot do, in one line: what, on what, why, and what to do about it.
package struct ToolError: Error, CustomStringConvertible, Sendable {
  package var description: String
  package init(_ description: String) { self.description = description }
}
