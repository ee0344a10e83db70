internal import Formats

/// The page, its script and its style. Nothing in them depends on what was measured; the script fetches that.
enum Page {
  static let html = """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>swtrace-agent</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="agent.css">
    <script src="agent.js" defer></script>
    </head>
    <body>
    \(markup)
    <template id="profile-template">
    <section class="header" aria-label="Profile">
    \(FlameGraph.Page.toolbar)
    <span id="comparison-about"></span>
    </section>
    \(FlameGraph.Page.body)
    </template>
    </body>
    </html>

    """

  /// The flame graph's own, then what is around it.
  static let style = "\(FlameGraph.Page.style)\n\(ownStyle)\n"

  /// One function, so that nothing in it is reachable by name from outside.
  static let script = """
    "use strict";
    (() => {
    \(FlameGraph.Page.heatmapFunction)
    \(FlameGraph.Page.function)
    \([state, texts, asking, timeline, choosing, heatmap, metrics, comparing, services, health, live, controls].joined(separator: "\n"))
    })();

    """
}
