extension Page {
  /// Questions to the agent: with the token where it wants one, again where it is busy, and what went wrong in one line.
  static let asking = #"""
    // The last problem of each kind of question.
    const problems = new Map();
    const silence = "the agent does not answer: is it still running? This page asks again every 5 seconds";
    const isSilent = () => [...problems.values()].includes(silence);
    function showProblems() {
      const texts = [...new Set(problems.values())];
      byId("problem").textContent = texts.join(" · ");
      byId("problem").hidden = texts.length === 0;
      byId("match").setAttribute("aria-invalid", texts.some(text => text.startsWith("the selector")));
    }

    // For as long as the tab is open, and for this address only.
    const tokenName = "swtrace-token";
    const headers = () => sessionStorage.getItem(tokenName) ? { Authorization: `Bearer ${sessionStorage.getItem(tokenName)}` } : {};

    // Asked for once; after that there is a button.
    let isTokenWanted = false;
    function wantToken() {
      if (isTokenWanted) return;
      isTokenWanted = true;
      askToken();
    }
    function askToken() {
      byId("token-about").textContent = sessionStorage.getItem(tokenName) ? "The agent did not accept this token." : "";
      byId("token").value = "";
      byId("token-dialog").showModal();
    }
    byId("token-wanted").firstChild.addEventListener("click", askToken);
    byId("token-dialog").addEventListener("close", () => {
      // What is not visible ASCII cannot stand in a header.
      const token = byId("token").value.replace(/[^\x21-\x7e]/g, "");
      const isGiven = byId("token-dialog").returnValue === "use" && token !== "";
      byId("token-wanted").hidden = isGiven;
      byId("token-dialog").returnValue = "";
      if (!isGiven) return;
      sessionStorage.setItem(tokenName, token);
      isTokenWanted = false;
      load();
    });

    const pause = (milliseconds, signal) => new Promise((done, fail) => {
      const timer = setTimeout(done, milliseconds);
      signal.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); });
    });

    // A response that is well, or an error whose message is one clear line.
    async function responseOf(path, parameters, signal) {
      const query = new URLSearchParams(parameters);
      for (let attempt = 1; ; attempt++) {
        const response = await fetch(path + (query.size ? `?${query}` : ""), { signal, headers: headers() })
          .catch(error => { throw signal.aborted ? error : new Error(silence); });
        if (response.ok) return response;
        const text = await response.json().then(({ error }) => error, () => null) ?? `${path} was answered with ${response.status} and no reason`;
        if (response.status === 401) wantToken();
        if (response.status !== 429 || attempt === 5) throw new Error(text);
        await pause(1000 * (Number(response.headers.get("Retry-After")) || 1), signal);
      }
    }

    // Asks; a newer question of the same kind ends an older one. Null when that happened, or there is no answer.
    const questions = new Map();
    async function ask(kind, path, parameters = {}, read = response => response.json()) {
      questions.get(kind)?.abort();
      const controller = new AbortController();
      questions.set(kind, controller);
      try {
        const answer = await read(await responseOf(path, parameters, controller.signal));
        problems.delete(kind);
        return questions.get(kind) === controller ? answer : null;
      } catch (error) {
        if (!controller.signal.aborted) problems.set(kind, error.message);
        return null;
      } finally {
        showProblems();
      }
    }

    // By the script, as a link could not send the token, and an error would become a file.
    async function save(link) {
      const blob = await ask("save", link.getAttribute("href"), {}, response => response.blob());
      if (!blob) return;
      const url = URL.createObjectURL(blob);
      element("a", { href: url, download: link.download }).click();
      URL.revokeObjectURL(url);
    }
    """#
}
