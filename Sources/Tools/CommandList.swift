package import ArgumentParser

/// The subcommands that observe the kernel, in alphabetical order.
package let toolCommands: [any ParsableCommand.Type] = [
  Allocs.self,
  Bashreadline.self,
  Biolatency.self,
  Cpudist.self,
  Execsnoop.self,
  Exitsnoop.self,
  Faults.self,
  Funccount.self,
  Funclatency.self,
  Offcputime.self,
  Offwaketime.self,
  Oomkill.self,
  Opensnoop.self,
  ProfileTool.self,
  Runqlat.self,
  Syscount.self,
  Tcpconnlat.self,
  Tcpretrans.self,
  Tcprtt.self,
  Wakeuptime.self,
]

/// The other subcommands.
package let otherCommands: [any ParsableCommand.Type] = [
  Convert.self,
  Diff.self,
  Doctor.self,
  Flamegraph.self,
  List.self,
  Symbolize.self,
  UnwindInfo.self,
]
