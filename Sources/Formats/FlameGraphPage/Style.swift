extension FlameGraph.Page {
  /// Of the whole page, whose body is a column as high as the window.
  package static let style = #"""
    :root { color-scheme: light dark; --page: light-dark(#fff, #16181d); --text: light-dark(#16181d, #eceff4);
      --quiet: light-dark(#565d6b, #a4acba); --line: light-dark(#d6dae1, #343944); --raised: light-dark(#f4f5f8, #22262e);
      --accent: light-dark(#0b57d0, #8ab4f8); --bad: light-dark(#b3261e, #f2b8b5); --match: light-dark(#c2185b, #f06292);
      --chosen: light-dark(#e3edfd, #25344d); --mono: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
    :root[data-theme=light] { color-scheme: light; }
    :root[data-theme=dark] { color-scheme: dark; }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    body { margin: 0; height: 100vh; display: flex; flex-direction: column; background: var(--page); color: var(--text);
      font: 14px/1.4 system-ui, sans-serif; }
    header, .header { display: flex; flex-wrap: wrap; gap: 8px 24px; align-items: center; padding: 10px 14px; }
    .about { flex: 1 1 320px; min-width: 0; }
    h1 { margin: 0; font-size: 17px; overflow-wrap: anywhere; }
    .details { margin: 2px 0 0; color: var(--quiet); overflow-wrap: anywhere; }
    .details:empty { display: none; }
    .details span + span::before { content: "·"; margin: 0 7px; }
    .tools { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
    #matched:empty { display: none; }
    #matched { color: var(--quiet); font-variant-numeric: tabular-nums; text-align: right; order: -1; }
    #matched.bad { color: var(--bad); }
    input, button, select { font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--line); border-radius: 6px;
      padding: 5px 10px; }
    input { width: 210px; background: var(--page); font-family: var(--mono); }
    select { padding: 5px 4px; text-overflow: ellipsis; }
    button { cursor: pointer; }
    button:hover, select:hover { border-color: var(--quiet); }
    :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
    .switch { display: inline-flex; }
    .switch button + button { border-left: 0; }
    .switch button:not(:last-child) { border-start-end-radius: 0; border-end-end-radius: 0; }
    .switch button:not(:first-child) { border-start-start-radius: 0; border-end-start-radius: 0; }
    button[aria-pressed=true] { background: var(--chosen); border-color: var(--accent); }
    .switch button[aria-pressed=true] + button { border-left: 0; }
    #filters { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center; padding: 0 14px 8px; color: var(--quiet); font-size: 13px; }
    #filters:not(:has(label:not([hidden]))):not(.active) { display: none; }
    #filters select { max-width: 220px; color: var(--text); padding: 3px 4px; }
    #filters .chosen { background: var(--chosen); border-color: var(--accent); }
    #filtered:empty { display: none; }
    #filtered { color: var(--text); font-weight: 600; font-variant-numeric: tabular-nums; }
    #unfilter { padding: 3px 10px; color: var(--text); }
    #time { padding: 0 14px 4px; font-size: 13px; }
    #time summary { cursor: pointer; width: fit-content; max-width: 100%; font-variant-numeric: tabular-nums; }
    #time summary span { color: var(--quiet); margin-left: 8px; }
    #time-cell { color: var(--text) !important; }
    #heat { height: 116px; cursor: crosshair; touch-action: none; margin-top: 4px; }
    #heat:focus-visible { outline-offset: 1px; }
    #path { display: flex; gap: 2px; padding: 0 14px 6px 8px; white-space: nowrap; overflow: hidden; min-height: 30px; align-items: center; }
    #path button { border: 0; background: none; padding: 2px 6px; color: var(--accent); font: 12.5px var(--mono);
      overflow: hidden; text-overflow: ellipsis; min-width: 24px; flex: 0 1 auto; }
    #path button:focus-visible { outline-offset: -2px; }
    #path button:first-child { flex-shrink: 0; }
    #path button[aria-current] { color: var(--text); font-weight: 600; flex-shrink: 0; max-width: 40%; }
    #path span { color: var(--quiet); }
    #work { flex: 1; min-height: 0; display: flex; border-block: 1px solid var(--line); }
    #graphs { flex: 1; min-width: 0; min-height: 0; display: flex; }
    .view { flex: 1; min-width: 0; min-height: 0; overflow: hidden auto; }
    .content { min-height: 100%; }
    canvas { display: block; width: 100%; cursor: pointer; }
    .content canvas { position: sticky; top: 0; }
    canvas:focus-visible { outline-offset: -2px; }
    #sandwich { flex: 1; min-width: 0; display: flex; flex-direction: column; }
    #center { margin: 0; padding: 5px 14px; border-block: 1px solid var(--line); background: var(--raised); overflow: hidden;
      text-overflow: ellipsis; white-space: nowrap; font-variant-numeric: tabular-nums; }
    #center b { font: 600 13px var(--mono); margin-right: 10px; }
    #center span { color: var(--quiet); }
    #functions { container-type: inline-size; flex: 0 0 clamp(480px, 36vw, 820px); min-width: 0; border-left: 1px solid var(--line); display: flex; flex-direction: column; }
    #grid { flex: 1; min-height: 0; display: flex; flex-direction: column; font-size: 13px; font-variant-numeric: tabular-nums; }
    .row { display: grid; grid-template-columns: var(--columns); column-gap: 6px; align-items: center; padding: 0 14px 0 4px; height: 24px; }
    .row > * { text-align: right; white-space: pre; overflow: hidden; text-overflow: ellipsis; }
    .row > .function { text-align: left; padding-left: 8px; }
    .row .error, .row .noise, .row small { color: var(--quiet); }
    #rows-content .function { font: 12.5px/20px var(--mono); }
    .row small { margin-left: 8px; font: 12px system-ui, sans-serif; }
    #grid-head { height: 30px; border-left: 3px solid transparent; border-bottom: 1px solid var(--line); background: var(--raised); }
    #grid-head button { all: unset; cursor: pointer; color: var(--quiet); font-size: 12.5px; }
    #grid-head button:hover { color: var(--text); }
    #grid-head button:focus-visible { outline: 2px solid var(--accent); outline-offset: -1px; border-radius: 3px; }
    #grid-head [aria-sort=ascending] button, #grid-head [aria-sort=descending] button { color: var(--text); font-weight: 600; }
    #grid-head [aria-sort=ascending] button::after { content: " ▴"; }
    #grid-head [aria-sort=descending] button::after { content: " ▾"; }
    @container (max-width: 460px) { .row { grid-template-columns: var(--few-columns); } .extra { display: none; } }
    #rows { flex: 1; min-height: 0; overflow: hidden auto; position: relative; }
    #rows:focus-visible { outline-offset: -2px; }
    #rows-content { position: relative; }
    #rows-content .row { position: absolute; left: 0; right: 0; cursor: pointer; border-left: 3px solid transparent; }
    #rows-content .none { cursor: default; color: var(--quiet); padding-left: 14px; display: block; line-height: 24px; }
    #rows-content .row:hover { background: var(--raised); }
    #rows-content .matched { border-left-color: var(--match); }
    #rows-content [aria-selected=true] { background: var(--chosen); }
    #rows:focus-visible .active { outline: 2px solid var(--accent); outline-offset: -2px; }
    footer { display: flex; flex-wrap: wrap; gap: 2px 18px; padding: 6px 14px; font-size: 13px; color: var(--quiet); }
    #status { flex: 1 1 420px; min-height: 1.4em; color: var(--text); overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
      font-variant-numeric: tabular-nums; }
    #legend { display: flex; flex-wrap: wrap; gap: 0 12px; }
    #legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 5px -1px 0; }
    kbd { font: 12px var(--mono); border: 1px solid var(--line); border-radius: 4px; padding: 0 5px; color: var(--text); }
    #tooltip { position: fixed; z-index: 1; max-width: min(560px, 90vw); padding: 8px 11px; border-radius: 8px; border: 1px solid var(--line);
      background: var(--page); box-shadow: 0 4px 18px #0004; pointer-events: none; font-size: 13px; overflow-wrap: anywhere;
      font-variant-numeric: tabular-nums; }
    #tooltip b { display: block; font: 600 13px var(--mono); }
    #tooltip span { display: block; color: var(--quiet); }
    dialog { border: 1px solid var(--line); border-radius: 12px; padding: 18px 22px; background: var(--page); color: var(--text);
      width: min(760px, 94vw); box-shadow: 0 12px 48px #0005; }
    dialog::backdrop { background: #0006; }
    dialog form { display: flex; justify-content: space-between; align-items: center; }
    dialog h2 { margin: 0; font-size: 17px; }
    dialog h3 { margin: 14px 0 6px; font-size: 13px; color: var(--quiet); font-weight: 600; }
    dialog .columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 0 28px; }
    dialog dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 12px; margin: 0; }
    dialog dd { margin: 0; }
    .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    noscript { padding: 20px; }
    @media (max-width: 1000px) {
      #work { flex-direction: column; }
      #functions { container-type: inline-size; flex: 0 0 40%; border-left: 0; border-top: 1px solid var(--line); }
    }
    @media (max-width: 700px) {
      body { height: auto; min-height: 100vh; }
      .tools, .search, #matched { flex: 1 1 auto; } .search { flex-basis: 100%; } input { width: 100%; }
      #filters label { flex: 1 1 45%; display: flex; flex-direction: column; } #filters select { max-width: none; width: 100%; }
      #graphs { flex: 0 0 55vh; } #functions { flex: 0 0 60vh; }
    }
    """#
}
