// Works in a chain of 12 async functions that await each other, until it is killed.
import Glibc

nonisolated(unsafe) var sink = 0

@inline(never) func work() { for number in 0..<200_000 { sink &+= number ^ sink } }

@inline(never) func descend(_ calls: Int) async -> Int {
  if calls == 0 {
    work()
    await Task.yield()
    return 1
  }
  return await descend(calls - 1) + 1
}

@main struct Awaiting {
  static func main() async {
    print("r", terminator: "")
    fflush(stdout)
    while true { sink &+= await descend(11) }
  }
}
