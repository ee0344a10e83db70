extension FlameGraph.Page {
  /// The controls and the style sheet.
  static let toolbar = #"""
    <div class="tools" role="toolbar" aria-label="Flame graph">
    <label class="search"><span class="hidden">Search, a regular expression</span><input id="search" type="search" placeholder="Search  /"
      autocomplete="off" spellcheck="false" aria-describedby="matched"
      title="A regular expression; small letters match capitals too"></label>
    <output id="matched"></output>
    <button id="flip" type="button" title="Root at the bottom or at the top (i)">Icicle</button>
    <button id="theme" type="button" title="Light or dark (t)">Dark</button>
    <button id="reset" type="button" title="Whole graph, no search (Escape)">Reset</button>
    </div>
    """#

  static let body = #"""
    <nav id="path" aria-label="Zoomed frame and its callers"></nav>
    <main id="view"><div id="content"><canvas id="graph" tabindex="0" role="application" aria-roledescription="flame graph"
      aria-label="Flame graph. Arrow keys move between calls, Enter zooms, Backspace zooms out, Escape resets, slash searches, n goes to the next match, i turns the graph over, t changes between light and dark."></canvas></div></main>
    <footer><span id="status"></span><span id="legend"></span>
    <span class="keys"><kbd>←↑↓→</kbd> move <kbd>Enter</kbd> zoom <kbd>Esc</kbd> reset <kbd>/</kbd> search <kbd>n</kbd> next match <kbd>i</kbd> flip <kbd>t</kbd> theme</span></footer>
    <div id="tooltip" role="tooltip" hidden></div>
    <div id="live" class="hidden" aria-live="polite"></div>
    <noscript>This page draws its graph with a script, which is turned off here. A picture that needs none: swtrace flamegraph --format svg.</noscript>
    """#

  static let style = #"""
    :root { color-scheme: light dark; --page: light-dark(#fff, #16181d); --text: light-dark(#16181d, #eceff4);
      --quiet: light-dark(#565d6b, #a4acba); --line: light-dark(#d6dae1, #343944); --raised: light-dark(#f4f5f8, #22262e);
      --accent: light-dark(#0b57d0, #8ab4f8); --bad: light-dark(#b3261e, #f2b8b5); }
    :root[data-theme=light] { color-scheme: light; }
    :root[data-theme=dark] { color-scheme: dark; }
    * { box-sizing: border-box; }
    body { margin: 0; height: 100vh; display: flex; flex-direction: column; background: var(--page); color: var(--text);
      font: 14px/1.4 system-ui, sans-serif; }
    header { display: flex; flex-wrap: wrap; gap: 8px 24px; align-items: center; padding: 10px 14px; }
    .about { flex: 1 1 320px; min-width: 0; }
    h1 { margin: 0; font-size: 17px; overflow-wrap: anywhere; }
    .details { margin: 2px 0 0; color: var(--quiet); overflow-wrap: anywhere; }
    .details span + span::before { content: "·"; margin: 0 7px; }
    .tools { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
    #matched:empty { display: none; }
    #matched { color: var(--quiet); font-variant-numeric: tabular-nums; text-align: right; order: -1; }
    #matched.bad { color: var(--bad); }
    input, button { font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--line); border-radius: 6px; padding: 5px 10px; }
    input { width: 230px; background: var(--page); font-family: ui-monospace, Menlo, Consolas, monospace; }
    button { cursor: pointer; }
    button:hover { border-color: var(--quiet); }
    :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
    #path { display: flex; gap: 2px; padding: 0 14px 6px 8px; white-space: nowrap; overflow: hidden; min-height: 30px; align-items: center; }
    #path button { border: 0; background: none; padding: 2px 6px; color: var(--accent); font: 12.5px ui-monospace, Menlo, Consolas, monospace;
      overflow: hidden; text-overflow: ellipsis; min-width: 24px; flex: 0 1 auto; }
    #path button:focus-visible { outline-offset: -2px; }
    #path button:first-child { flex-shrink: 0; }
    #path button[aria-current] { color: var(--text); font-weight: 600; flex-shrink: 0; max-width: 40%; }
    #path span { color: var(--quiet); }
    #view { flex: 1; min-height: 0; overflow: hidden auto; border-block: 1px solid var(--line); }
    #content { min-height: 100%; }
    #graph { display: block; position: sticky; top: 0; width: 100%; cursor: pointer; }
    #graph:focus-visible { outline-offset: -2px; }
    footer { display: flex; flex-wrap: wrap; gap: 2px 18px; padding: 6px 14px; font-size: 13px; color: var(--quiet); }
    #status { flex: 1 1 420px; min-height: 1.4em; color: var(--text); overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
      font-variant-numeric: tabular-nums; }
    #legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 5px -1px 10px; }
    kbd { font: 12px ui-monospace, Menlo, Consolas, monospace; border: 1px solid var(--line); border-radius: 4px; padding: 0 4px; margin: 0 2px 0 10px;
      color: var(--text); }
    #tooltip { position: fixed; z-index: 1; max-width: min(560px, 90vw); padding: 8px 11px; border-radius: 8px; border: 1px solid var(--line);
      background: var(--page); box-shadow: 0 4px 18px #0004; pointer-events: none; font-size: 13px; overflow-wrap: anywhere;
      font-variant-numeric: tabular-nums; }
    #tooltip b { display: block; font: 600 13px ui-monospace, Menlo, Consolas, monospace; }
    #tooltip span { display: block; color: var(--quiet); }
    kbd:first-child { margin-left: 0; }
    @media (max-width: 700px) { .keys { display: none; } .tools, .search { flex: 1; } input { width: 100%; min-width: 160px; } }
    .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    noscript { padding: 20px; }
    """#
}
