extension FlameGraph.Page {
  /// Search, views, colors: the children of a header.
  package static let toolbar = #"""
    <div class="tools" role="toolbar" aria-label="Profile">
    <span class="switch"><button id="show-flame" type="button" aria-pressed="true" title="The whole graph (f)">Graph</button><button
      id="show-sandwich" type="button" aria-pressed="false" title="Callers and callees of the chosen function (s)">Sandwich</button></span>
    <label class="search"><span class="hidden">Search, a regular expression</span><input id="search" type="search" placeholder="Search  /"
      autocomplete="off" spellcheck="false" aria-describedby="matched"
      title="A regular expression; small letters match capitals too"></label>
    <output id="matched"></output>
    <select id="colors" aria-label="What colors say" title="What colors say (c)"></select>
    <button id="basis" type="button" title="Frames as wide as after or before (b)">Widths: after</button>
    <button id="flip" type="button" title="Root at the bottom or at the top (i)">Icicle</button>
    <button id="table" type="button" aria-pressed="true" title="The table of functions (l)">Table</button>
    <button id="theme" type="button" title="Light or dark (t)">Dark</button>
    <button id="reset" type="button" title="Whole graph, no search, no filter (Escape)">Reset</button>
    <button id="show-help" type="button" aria-label="Help" title="Help (?)">?</button>
    </div>
    """#

  /// All below the header.
  package static let body = #"""
    <section id="filters" aria-label="Filters">
    <label>Process <select id="filter-process"></select></label>
    <label>Thread <select id="filter-thread"></select></label>
    <label>Ran in <select id="filter-ran"></select></label>
    <label title="Only stacks with a frame of this module">Module <select id="filter-module"></select></label>
    <output id="filtered"></output>
    <button id="unfilter" type="button" hidden>Clear filters</button>
    </section>
    <details id="time" open hidden>
    <summary>Time <span id="time-about"></span> <span id="time-cell"></span></summary>
    <canvas id="heat" tabindex="0" role="application" aria-roledescription="heatmap"
      aria-label="Samples over time. Arrow keys move, with Shift they choose a range of time, Enter chooses the column, Backspace chooses all."></canvas>
    </details>
    <nav id="path" aria-label="Zoomed frame and its callers"></nav>
    <div id="work">
    <main id="graphs">
    <div id="view" class="view"><div class="content"><canvas id="graph" tabindex="0" role="application" aria-roledescription="flame graph"
      aria-label="Flame graph. Arrow keys move between calls, Enter zooms, Backspace zooms out, Escape resets, slash searches, n goes to the next match, s shows callers and callees, question mark lists all keys."></canvas></div></div>
    <div id="sandwich" hidden>
    <div id="callers" class="view"><div class="content"><canvas tabindex="0" role="application" aria-roledescription="flame graph"></canvas></div></div>
    <p id="center"><b id="center-name"></b> <span id="center-amounts"></span></p>
    <div id="callees" class="view"><div class="content"><canvas tabindex="0" role="application" aria-roledescription="flame graph"></canvas></div></div>
    </div>
    </main>
    <section id="functions" aria-label="Functions">
    <div id="grid">
    <div id="grid-heads" role="rowgroup"><div id="grid-head" class="row" role="row"></div></div>
    <div id="rows" role="grid" aria-owns="grid-heads" tabindex="0" aria-label="Functions by their cost. Arrow keys move, Enter searches for a function, s shows its callers and callees."><div id="rows-content" role="rowgroup"></div></div>
    </div>
    </section>
    </div>
    <footer><span id="status"></span><span id="legend"></span></footer>
    <div id="tooltip" role="tooltip" hidden></div>
    <div id="live" class="hidden" aria-live="polite"></div>
    <dialog id="help" aria-labelledby="help-title">
    <form method="dialog"><h2 id="help-title">Keys</h2><button aria-label="Close">✕</button></form>
    <div class="columns">
    <section><h3>Anywhere</h3><dl>
    <dt><kbd>/</kbd></dt><dd>search by a regular expression</dd>
    <dt><kbd>f</kbd> <kbd>s</kbd></dt><dd>whole graph, or sandwich of the chosen function</dd>
    <dt><kbd>c</kbd></dt><dd>what colors say</dd>
    <dt><kbd>i</kbd></dt><dd>root at the top or at the bottom</dd>
    <dt><kbd>l</kbd></dt><dd>show or hide the table</dd>
    <dt><kbd>b</kbd></dt><dd>of a comparison: widths before or after</dd>
    <dt><kbd>t</kbd></dt><dd>light or dark</dd>
    <dt><kbd>Esc</kbd></dt><dd>reset zoom, search, filters and time</dd>
    <dt><kbd>Tab</kbd></dt><dd>to the next part of the page</dd>
    </dl></section>
    <section><h3>In a graph</h3><dl>
    <dt><kbd>←</kbd> <kbd>↑</kbd> <kbd>↓</kbd> <kbd>→</kbd></dt><dd>between calls</dd>
    <dt><kbd>Enter</kbd></dt><dd>zoom; in a sandwich, the sandwich of that function</dd>
    <dt><kbd>Backspace</kbd></dt><dd>zoom out, or back</dd>
    <dt><kbd>n</kbd> <kbd>N</kbd></dt><dd>next and previous match</dd>
    </dl>
    <h3>In the table</h3><dl>
    <dt><kbd>↑</kbd> <kbd>↓</kbd></dt><dd>between functions</dd>
    <dt><kbd>Enter</kbd></dt><dd>search for the function</dd>
    </dl>
    <h3>In the time</h3><dl>
    <dt><kbd>←</kbd> <kbd>↑</kbd> <kbd>↓</kbd> <kbd>→</kbd></dt><dd>between columns and parts of them</dd>
    <dt><kbd>Shift</kbd></dt><dd>with an arrow: choose a range</dd>
    <dt><kbd>Enter</kbd></dt><dd>choose the column</dd>
    <dt><kbd>Backspace</kbd></dt><dd>choose all of the time</dd>
    </dl></section>
    </div>
    </dialog>
    <noscript>This page draws its graph with a script, which is turned off here. A picture that needs none: swtrace flamegraph --format svg.</noscript>
    """#
}
