extension Page {
  static let markup = #"""
    <header id="agent">
    <h1>swtrace-agent</h1>
    <div class="tools" role="toolbar" aria-label="What is shown">
    <label>Profile <select id="type" title="What was measured"><option value="cpu">On CPU</option><option value="off_cpu">Off CPU</option></select></label>
    <label>Time <select id="span" title="How much time is shown">
    <option value="-15m">Last 15 minutes</option><option value="-1h">Last hour</option><option value="-6h">Last 6 hours</option>
    <option value="-1d">Last day</option><option value="-1w">Last week</option><option value="-4w">Last 4 weeks</option>
    <option value="" hidden>Chosen</option></select></label>
    <label class="match"><span class="hidden">Only series with these labels</span><input id="match" type="search"
      placeholder='{service="nginx.service"}' autocomplete="off" spellcheck="false" aria-describedby="problem"
      title="Conditions on labels, such as {service=&quot;a&quot;,comm=~&quot;b.*&quot;} (m)"></label>
    <button id="go-live" type="button" aria-pressed="false" title="Read anew every 10 seconds (r)">Live</button>
    <button id="compare" type="button" aria-pressed="false" title="Compare the next range with the chosen one (d)">Compare</button>
    <span class="links">Save <a id="save-pprof" download="profile.pb.gz">pprof</a> <a id="save-folded" download="profile.folded">folded</a></span>
    <button id="show-health" type="button" title="How the agent is doing (h)">Agent</button>
    </div>
    </header>
    <p id="problem" role="alert" hidden></p>
    <section id="overview" aria-label="Over time">
    <div id="timeline-part">
    <canvas id="timeline" tabindex="0" role="application" aria-roledescription="timeline"
      aria-label="Timeline. Left and right arrows move, with Shift they choose a range, Enter chooses the step, Backspace chooses all, plus shows the chosen range only, minus shows more, comma and full stop move earlier and later."></canvas>
    <p><output id="chosen-range"></output> <span id="timeline-about"></span></p>
    </div>
    <div id="services-part">
    <table id="services">
    <thead><tr><th scope="col"><select id="by" aria-label="Series by" title="The label that tells series apart"></select></th><th scope="col">Amount</th><th scope="col">Share</th></tr></thead>
    <tbody></tbody>
    </table>
    </div>
    </section>
    <div id="said" class="hidden" aria-live="polite"></div>
    <dialog id="health" aria-labelledby="health-title">
    <form method="dialog"><h2 id="health-title">The agent</h2><button aria-label="Close">✕</button></form>
    <div id="health-content"></div>
    </dialog>
    <template id="keys">
    <section><h3>Of the agent</h3><dl>
    <dt><kbd>m</kbd></dt><dd>which series: conditions on labels</dd>
    <dt><kbd>r</kbd></dt><dd>read anew every 10 seconds, or no more</dd>
    <dt><kbd>d</kbd></dt><dd>compare with the chosen range, or no more</dd>
    <dt><kbd>h</kbd></dt><dd>how the agent is doing</dd>
    </dl>
    <h3>In the timeline</h3><dl>
    <dt><kbd>←</kbd> <kbd>→</kbd></dt><dd>between steps; with Shift, choose a range</dd>
    <dt><kbd>Enter</kbd></dt><dd>choose the step</dd>
    <dt><kbd>Backspace</kbd></dt><dd>choose all of the time</dd>
    <dt><kbd>+</kbd> <kbd>-</kbd></dt><dd>show the chosen range only, or more</dd>
    <dt><kbd>,</kbd> <kbd>.</kbd></dt><dd>earlier, later</dd>
    </dl></section>
    </template>
    <noscript>This page reads the profiles with a script, which is turned off here. They are also at /api/v1/profile?format=folded.</noscript>
    """#

  static let ownStyle = #"""
    #profile-view { display: contents; }
    #agent { padding-bottom: 6px; }
    #agent h1 { flex: 0 0 auto; }
    #agent .tools > label { color: var(--quiet); }
    #agent .tools select { color: var(--text); }
    #agent .match input { width: min(250px, 60vw); }
    #agent input[aria-invalid=true] { border-color: var(--bad); }
    #agent .links { color: var(--quiet); }
    a { color: var(--accent); }
    #problem { margin: 0; padding: 4px 14px; color: var(--bad); overflow-wrap: anywhere; }
    #overview { display: flex; padding: 0 14px 4px; gap: 14px; }
    #timeline-part { flex: 1; min-width: 0; }
    #timeline-part p { margin: 2px 0 0; min-height: 1.4em; font-size: 13px; font-variant-numeric: tabular-nums; overflow: hidden;
      text-overflow: ellipsis; white-space: nowrap; }
    #chosen-range { font-weight: 600; margin-right: 10px; }
    #timeline-about { color: var(--quiet); }
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
