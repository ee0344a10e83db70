extension Page {
  /// Of what is around the flame graph.
  static let ownStyle = #"""
    #profile-view { flex: 1; min-height: 0; display: flex; flex-direction: column; }
    #agent { padding-bottom: 6px; }
    #agent h1 { flex: 0 0 auto; }
    #agent .tools > label { color: var(--quiet); }
    #agent .tools select { color: var(--text); }
    #agent .match input { width: min(250px, 60vw); }
    #agent input[aria-invalid=true] { border-color: var(--bad); }
    #agent .links { color: var(--quiet); }
    a { color: var(--accent); }
    #problem, #token-wanted { margin: 0; padding: 4px 14px; }
    #problem { color: var(--bad); overflow-wrap: anywhere; }
    #overview { display: flex; padding: 0 14px 4px; gap: 14px; }
    #timeline-part { flex: 1; min-width: 0; }
    #timeline-part p { margin: 2px 0 0; min-height: 1.4em; font-size: 13px; font-variant-numeric: tabular-nums; overflow: hidden;
      text-overflow: ellipsis; white-space: nowrap; }
    #chosen-range { font-weight: 600; margin-right: 10px; }
    #timeline-about { color: var(--quiet); }
    #missing { color: var(--bad); margin-right: 10px; }
    #missing:empty, #comparison-about:empty, #token-about:empty { display: none; }
    #compare { max-width: 230px; }
    #compare.chosen { background: var(--chosen); border-color: var(--accent); }
    #empty { flex: 1; border-top: 1px solid var(--line); padding: 40px 14px; text-align: center; }
    #comparison-about, #token-about { color: var(--bad); }
    #profile-view[aria-busy] { opacity: 0.6; transition: opacity 0.1s 0.6s; }
    @media (prefers-reduced-motion: reduce) { #profile-view[aria-busy] { transition: none; } }
    #timeline { height: 132px; cursor: crosshair; touch-action: none; }
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
      #overview { flex-direction: column; } #services-part { flex: 0 0 auto; max-height: 120px; }
    }
    """#
}
