extension Page {
  /// Of what is around the flame graph.
  static let ownStyle = #"""
    #profile-view { flex: 1; min-height: 0; display: flex; flex-direction: column; }
    #agent { flex-wrap: nowrap; gap: 6px 18px; padding: 6px 14px; }
    #agent h1 { flex: 0 0 auto; font-size: 16px; }
    .header { padding: 4px 14px 8px; }
    #agent .tools { flex: 1; min-width: 0; gap: 6px 8px; }
    #agent :is(input, button, select) { padding-block: 3px; }
    #agent .tools > label { color: var(--quiet); }
    #agent .tools select { color: var(--text); }
    #agent .match input { width: min(230px, 60vw); }
    #agent input[aria-invalid=true] { border-color: var(--bad); }
    #agent .links { color: var(--quiet); }
    a { color: var(--accent); }
    #problem, #token-wanted { margin: 0; padding: 4px 14px; }
    #problem { color: var(--bad); overflow-wrap: anywhere; }
    #overview { display: flex; padding: 0 14px 4px; gap: 14px; }
    #over-part { flex: 1; min-width: 0; }
    #pictures { display: flex; gap: 14px; }
    #timeline-part { flex: 1; min-width: 0; }
    #over-part p { margin: 3px 0 0; min-height: 1.4em; font-size: 13px; font-variant-numeric: tabular-nums; overflow: hidden;
      text-overflow: ellipsis; white-space: nowrap; }
    #chosen-range { font-weight: 600; margin-right: 10px; }
    #timeline-about { color: var(--quiet); }
    #missing { color: var(--bad); margin-right: 10px; }
    #missing:empty, #comparison-about:empty, #token-about:empty { display: none; }
    #compare { max-width: 170px; }
    #compare.chosen { background: var(--chosen); border-color: var(--accent); }
    #empty { flex: 1; border-top: 1px solid var(--line); padding: 40px 14px; text-align: center; }
    #comparison-about, #token-about { color: var(--bad); }
    #profile-view[aria-busy] { opacity: 0.6; transition: opacity 0.1s 0.6s; }
    @media (prefers-reduced-motion: reduce) { #profile-view[aria-busy] { transition: none; } }
    #timeline, #heatmap { cursor: crosshair; touch-action: none; }
    #timeline, #histogram { height: 132px; }
    #histogram { flex: 0 0 280px; width: 280px; cursor: default; }
    #over-part .switch button, #metric { padding: 0 8px; font-size: 12.5px; }
    #over-part .switch { margin-right: 8px; }
    #metric { max-width: 220px; margin-right: 8px; }
    #over-line:not(:has(span:not([hidden], :empty))) { display: none; }
    #over-about { color: var(--quiet); }
    #quantiles { font-weight: 600; }
    #services-part { flex: 0 0 clamp(280px, 30vw, 460px); max-height: 156px; overflow: hidden auto; }
    #services { width: 100%; border-collapse: collapse; table-layout: fixed; font-size: 13px; font-variant-numeric: tabular-nums; }
    #services th, #services td { padding: 1px 4px; text-align: right; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; font-weight: 400; }
    #services th:first-child { text-align: left; }
    #services th:nth-child(2) { width: 92px; } #services th:nth-child(3) { width: 64px; }
    #services thead th { position: sticky; top: 0; background: var(--page); color: var(--quiet); }
    #services select { padding: 1px 2px; }
    #services button { all: unset; cursor: pointer; max-width: 100%; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
    #services button:hover { text-decoration: underline; }
    #services button:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
    #services [aria-pressed=true] { background: var(--chosen); font-weight: 600; }
    #services i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 6px -1px 0; }
    #health dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; font-variant-numeric: tabular-nums; }
    #health .bad, #show-health.bad { color: var(--bad); }
    @media (max-width: 1000px) {
      #agent { flex-wrap: wrap; }
      #pictures { flex-wrap: wrap; }
      #overview { flex-direction: column; } #services-part { flex: 0 0 auto; max-height: 120px; }
    }
    """#
}
