/// Nothing conforms to it. In a release it stands for Foundation's `LocalizedError`, which the argument parser asks errors for; the Makefile
/// says why.
package protocol WithoutFoundation {}
