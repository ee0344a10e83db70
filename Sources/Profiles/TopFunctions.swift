/// What one function cost in a whole profile, in the profile's unit.
package struct FunctionCost: Hashable, Sendable {
  /// Without file and line.
  package let frame: Frame
  /// Measured while the function itself ran.
  package let selfValue: UInt64
  /// Measured while the function was anywhere on the stack; a recursive call counts once.
  package let total: UInt64
}

extension Profile {
  /// The functions with the largest own cost first; then by total, then by name. Markers are not functions and are left out.
  package func topFunctions(_ limit: Int) -> [FunctionCost] { CallTree(self).topFunctions(limit) }
}

extension CallTree {
  /// The functions with the largest own cost first; then by total, then by name. Markers are not functions and are left out.
  package func topFunctions(_ limit: Int) -> [FunctionCost] {
    var selfValues = [UInt64](repeating: 0, count: names.count)
    var totals = selfValues
    /// For each name, where the outermost call that is still open ends: calls before that are recursive.
    var openUntil = [Int](repeating: 0, count: names.count)
    for (index, node) in nodes.enumerated() {
      selfValues[node.name].addSaturating(node.selfValue)
      if index >= openUntil[node.name] {
        totals[node.name].addSaturating(node.total)
        openUntil[node.name] = node.end
      }
    }
    let costs = names.indices.compactMap { name -> FunctionCost? in
      guard case .function(let frame) = names[name], frame.kind != .marker else { return nil }
      return FunctionCost(frame: frame, selfValue: selfValues[name], total: totals[name])
    }
    let sorted = costs.sorted { left, right in
      (right.selfValue, right.total, left.frame.function, left.frame.module)
        < (left.selfValue, left.total, right.frame.function, right.frame.module)
    }
    return Array(sorted.prefix(max(limit, 0)))
  }
}
