extension Page {
  static let markup = #"""
    <header id="agent">
    <h1>swtrace-agent</h1>
    <div class="tools" role="toolbar" aria-label="What is shown">
    <label>Profile <select id="type" title="What was measured"></select></label>
    <label>Time <select id="span" title="How much time is shown">
    <option value="-15m">Last 15 minutes</option><option value="-1h">Last hour</option><option value="-6h">Last 6 hours</option>
    <option value="-1d">Last day</option><option value="-1w">Last week</option><option value="-4w">Last 4 weeks</option>
    <option value="" hidden>Chosen</option></select></label>
    <label class="match"><span class="hidden">Only series with these labels</span><input id="match" type="search" list="selectors"
      placeholder='{service="nginx.service"}' autocomplete="off" spellcheck="false" aria-describedby="problem"
      title="Conditions on labels, such as {service=&quot;a&quot;,comm=~&quot;b.*&quot;} (m)"></label>
    <datalist id="selectors"></datalist>
    <button id="go-live" type="button" aria-pressed="true" title="Follow the present, every 10 seconds, or pause (r)">Live</button>
    <select id="compare" aria-label="Compared with" title="What the chosen time is compared with (d, D)"></select>
    <span class="links">Save <a id="save-pprof" download="profile.pb.gz">pprof</a> <a id="save-folded" download="profile.folded">folded</a>
    <a id="link" title="This view with fixed times, to keep and to share">Link</a></span>
    <button id="show-health" type="button" title="How the agent is doing (h)">Agent</button>
    </div>
    </header>
    <p id="problem" role="alert" hidden></p>
    <p id="token-wanted" hidden><button type="button">Give the token</button></p>
    <section id="overview" aria-label="Over time">
    <div id="over-part">
    <div id="pictures">
    <div id="timeline-part"><canvas id="timeline" tabindex="0" role="application" aria-roledescription="timeline"
      aria-label="Timeline. Left and right arrows move, with Shift they choose a range, Enter chooses the step, Backspace chooses all, plus shows the chosen range only, minus shows more, comma and full stop move earlier and later."></canvas>
    <canvas id="heatmap" tabindex="0" role="application" aria-roledescription="heatmap" hidden
      aria-label="Activity by column and part of it. Arrow keys move, with Shift they choose a range of time, Enter chooses the column, Backspace chooses all."></canvas></div>
    <canvas id="histogram" role="img" hidden></canvas>
    </div>
    <p><span class="switch" role="group" aria-label="Over time"><button id="over-timeline" type="button" title="Rates over time (v)">Timeline</button><button
      id="over-heatmap" type="button" title="Activity within minutes, hours or days (v)">Heatmap</button><button
      id="over-metrics" type="button" title="Latencies and counts of the kernel (v)">Metrics</button></span>
    <select id="metric" aria-label="Metric" hidden></select>
    <output id="chosen-range"></output> <span id="missing"></span> <span id="timeline-about"></span></p>
    <p id="over-line"><span id="quantiles" hidden></span> <span id="over-about"></span></p>
    </div>
    <div id="services-part">
    <table id="services">
    <thead><tr><th scope="col"><select id="by" aria-label="Series by" title="The label that tells series apart"></select></th><th scope="col" id="services-amount">Amount</th><th scope="col" id="services-share">Share</th></tr></thead>
    <tbody></tbody>
    </table>
    </div>
    </section>
    <section id="empty" aria-label="Nothing to show" aria-live="polite" hidden></section>
    <div id="profile-view"></div>
    <div id="said" class="hidden" aria-live="polite"></div>
    <dialog id="health" aria-labelledby="health-title">
    <form method="dialog"><h2 id="health-title">The agent</h2><button aria-label="Close">✕</button></form>
    <div id="health-content"></div>
    </dialog>
    <dialog id="token-dialog" aria-labelledby="token-title">
    <form method="dialog"><h2 id="token-title">This agent wants its token</h2><button value="" aria-label="Close">✕</button></form>
    <form method="dialog">
    <p id="token-about"></p>
    <p>It is the first line of the file that token_file names in the agent's configuration. This tab keeps it until it is closed.</p>
    <label>Token <input id="token" type="password" autofocus autocomplete="off" spellcheck="false"></label> <button value="use">Use it</button>
    </form>
    </dialog>
    <template id="keys">
    <section><h3>Of the agent</h3><dl>
    <dt><kbd>m</kbd></dt><dd>which series: conditions on labels</dd>
    <dt><kbd>r</kbd></dt><dd>follow the present, or pause</dd>
    <dt><kbd>d</kbd></dt><dd>compare the next range with the chosen one, or no more</dd>
    <dt><kbd>D</kbd></dt><dd>to the choice of what to compare with</dd>
    <dt><kbd>v</kbd></dt><dd>timeline, heatmap, or metrics</dd>
    <dt><kbd>h</kbd></dt><dd>how the agent is doing</dd>
    </dl>
    <h3>In the timeline</h3><dl>
    <dt><kbd>←</kbd> <kbd>→</kbd></dt><dd>between steps; with Shift, choose a range</dd>
    <dt>Drag</dt><dd>choose a range; with Shift, the one to compare with</dd>
    <dt><kbd>Enter</kbd></dt><dd>choose the step</dd>
    <dt><kbd>Backspace</kbd></dt><dd>choose all of the time</dd>
    <dt><kbd>+</kbd> <kbd>-</kbd></dt><dd>show the chosen range only, or more</dd>
    <dt><kbd>,</kbd> <kbd>.</kbd></dt><dd>earlier, later</dd>
    </dl></section>
    </template>
    <noscript>This page reads the profiles with a script, which is turned off here. They are also at /api/v1/profile?format=folded.</noscript>
    """#
}
