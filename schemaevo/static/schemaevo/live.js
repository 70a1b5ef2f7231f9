/* Pages that follow what they show. An element with `data-live-from` names an address to read again and again, and the
   pieces of the page to put its answer into; a piece is replaced only where it has changed. It ends when the answer
   says that nothing changes any more, and rests while nobody looks. */
(() => {
  "use strict";
  const root = document.querySelector("[data-live-from]");
  if (!root) return;

  const EVERY_MS = Number(root.dataset.liveEveryMs);
  const LONGEST_MS = 60000;
  const seen = new Map();
  let waitMs = EVERY_MS;
  let timer = 0;
  let isReading = false;
  let isOver = Boolean(document.querySelector("[data-live-over]"));

  const piecesOf = (page) => page.querySelectorAll(root.dataset.livePieces);
  const versionOf = (piece) => piece.dataset.liveVersion ?? piece.outerHTML;
  for (const piece of piecesOf(document)) seen.set(piece.id, versionOf(piece));

  const show = (page) => {
    for (const piece of piecesOf(page)) {
      const version = versionOf(piece);
      const older = document.getElementById(piece.id);
      if (!older || seen.get(piece.id) === version) continue;
      seen.set(piece.id, version);
      const said = piece.dataset.liveSaid;
      if (said && said !== older.dataset.liveSaid) {
        const status = document.querySelector("[data-live-say]");
        if (status) status.textContent = said;
      }
      // Whoever is at a link by the keyboard stays at it.
      const held = older.contains(document.activeElement) && document.activeElement.getAttribute("href");
      const newer = document.importNode(piece, true);
      older.replaceWith(newer);
      if (held) newer.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
    }
    isOver = Boolean(page.querySelector("[data-live-over]"));
  };

  const stop = () => {
    isOver = true;
    const notice = document.querySelector("[data-live-stopped]");
    if (notice) notice.hidden = false;
  };

  const read = async () => {
    isReading = true;
    try {
      const answer = await fetch(root.dataset.liveFrom, { redirect: "manual", cache: "no-store" });
      if (answer.ok) {
        show(new DOMParser().parseFromString(await answer.text(), "text/html"));
        waitMs = EVERY_MS;
      } else if (answer.status >= 500) {
        waitMs = Math.min(waitMs * 2, LONGEST_MS);
      } else {
        // Signed out, no longer allowed, or gone.
        stop();
      }
    } catch {
      waitMs = Math.min(waitMs * 2, LONGEST_MS);
    }
    isReading = false;
    later(waitMs);
  };

  const later = (ms) => {
    clearTimeout(timer);
    if (!isOver && !isReading && !document.hidden) timer = setTimeout(read, ms);
  };

  document.addEventListener("visibilitychange", () => later(document.hidden ? EVERY_MS : 0));
  later(EVERY_MS);
})();
