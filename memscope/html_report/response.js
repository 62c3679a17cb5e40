// The drill-down: a response word by word, the memories in its column, a memory's text. And the page's head.

/** The strongest first: those that matter, those that speak against it, the rest, what is not scored. */
function ranking(r) {
  const rows = [];
  for (let m = 0; m < M; m++) {
    const state = states[m * R + r], value = values[m * R + r];
    if (state === IMPOSSIBLE) continue;
    const group = state !== SCORED ? 3 : !matters(value, r) ? 2 : value > 0 ? 0 : 1;
    rows.push({ m, state, value, group });
  }
  const size = (row) => Math.abs(row.value);
  return rows.sort((one, other) => one.group - other.group || size(other) - size(one) || one.m - other.m);
}

function rankingRow(ranked, place, range) {
  const { m, state, value, group } = ranked, scored = state === SCORED;
  const fill = make("span", { class: value < 0 ? "fill against" : "fill" });
  fill.style.width = scored ? `${Math.min(100, 100 * Math.abs(value) / range)}%` : "0";
  if (!scored || group === 2) fill.hidden = true;
  const words = { [PENDING]: "not scored", [RUNNING]: "running", [FAILED]: "failed" };
  const told = scored ? (withinNoise(value, open.r) ? "~" : "") + signed(value) : words[state];
  const button = make("button", { type: "button", "data-memory": m, title: memories[m].key },
    make("span", { class: "faint" }, group === 0 ? String(place) : ""),
    make("span", { class: "key" }, memories[m].key),
    make("span", { class: "track" }, fill),
    make("span", { class: "value" }, told));
  if (m === open.m) button.setAttribute("aria-current", "true");
  return make("li", {}, button);
}

function show(m, r) {
  const before = open;
  open = { m, r };
  const response = responses[r], value = values[m * R + r], scored = states[m * R + r] === SCORED;
  $("drill").hidden = false;
  const tokens = response.tokens ? ` · ${count(response.tokens, "token")}` : "";
  $("drill-title").textContent = `${name(r)} · entry ${response.entry}${tokens}`;
  $("drill-sentence").textContent = scored
    ? `Without ${memories[m].key} this response is ${Math.abs(value).toFixed(2)} nats ` +
      `${value < 0 ? "more" : "less"} probable${withinNoise(value, r) ? ", which may be noise" : ""}.`
    : cellSentence(m, r);
  $("previous").disabled = r === 0;
  $("next").disabled = r === R - 1;
  showTokens(m, r, scored);

  const ranked = ranking(r), strong = ranked.filter(({ group }) => group < 2);
  const range = largest(strong.map((each) => each.value));
  $("ranking").replaceChildren(...strong.map((each, at) => rankingRow(each, at + 1, range)));
  if (!strong.length) $("ranking").append(make("li", { class: "faint" }, "none"));
  const others = $("others"), rest = ranked.slice(strong.length);
  const unscored = rest.filter(({ state }) => state !== SCORED).length;
  const words = [];
  if (rest.length > unscored) words.push(`${rest.length - unscored} next to nothing`);
  if (unscored) words.push(`${unscored} without a number`);
  others.hidden = !rest.length;
  others.firstElementChild.textContent = words.join(", ");
  others.lastElementChild.replaceChildren(...rest.map((each) => rankingRow(each, 0, range)));
  if (rest.some((each) => each.m === m)) others.open = true;

  const { key, entries } = memories[m], word = entries.length === 1 ? "entry" : "entries";
  const places = entries.slice(0, 6).join(", ") + (entries.length > 6 ? ", …" : "");
  $("memory-title").textContent = `${key} · ${word} ${places}`;
  $("memory-text").replaceChildren(...underlined(memories[m].text, colouredWords()));
  history.replaceState(null, "", `#${name(r)}-m${m + 1}`);
  if (before && before.r !== r) $("tokens").scrollTop = 0;
  layOut();
}

let shown = { texts: [], withAll: [], without: null, chosen: -1 };

/** The response's words, coloured where the report holds both log-probabilities of each. */
function showTokens(m, r, scored) {
  const detail = details[r], without = detail?.without[m] ?? null;
  shown = { texts: detail?.texts ?? [], withAll: detail?.with_all ?? [], without, chosen: -1 };
  $("key").hidden = !without;
  if (!without) {
    $("tokens").textContent = detail ? detail.texts.join("") : responses[r].text;
    $("token").textContent = !scored ? ""
      : head.per_token ? "Of this cell the report holds the total only; the notes at the top say why."
      : "The scorer gave totals only: nothing is known of single tokens.";
    return;
  }
  const drops = without.map((logprob, at) => shown.withAll[at] - logprob);
  let strongest = 0;
  drops.forEach((drop, at) => { if (Math.abs(drop) > Math.abs(drops[strongest])) strongest = at; });
  const extent = Math.max(TOKEN_EXTENT, Math.ceil(Math.abs(drops[strongest] ?? 0)));
  const words = document.createDocumentFragment();
  shown.texts.forEach((text, at) => {
    const strength = level(drops[at], extent, TOKEN_LEAST);
    const kind = strength ? ` ${strength < 0 ? "n" : "p"}${Math.abs(strength)}` : "";
    words.append(make("span", { class: `t${kind}`, "data-token": at }, text));
  });
  $("tokens").replaceChildren(words);
  chooseToken(strongest);
}

const WORD = /[\p{L}\p{N}_]{3,}/gu;

/** The words, in lower case, of which any token is coloured. */
function colouredWords() {
  const words = new Set();
  if (!shown.without) return words;
  const coloured = [];
  for (const span of $("tokens").children) {
    const is = span.classList.length > 1;
    for (let at = 0; at < span.textContent.length; at++) coloured.push(is);
  }
  for (const found of shown.texts.join("").matchAll(WORD)) {
    const characters = coloured.slice(found.index, found.index + found[0].length);
    if (characters.includes(true)) words.add(found[0].toLowerCase());
  }
  return words;
}

/** A text as nodes, with these words underlined. */
function underlined(text, words) {
  const nodes = [];
  let done = 0;
  for (const found of text.matchAll(WORD)) {
    if (!words.has(found[0].toLowerCase())) continue;
    nodes.push(text.slice(done, found.index), make("u", {}, found[0]));
    done = found.index + found[0].length;
  }
  return [...nodes, text.slice(done)];
}

function chooseToken(at, focus = false) {
  const spans = $("tokens").children;
  if (!shown.without || at < 0 || at >= spans.length) return;
  if (shown.chosen >= 0) {
    spans[shown.chosen].removeAttribute("aria-current");
    spans[shown.chosen].removeAttribute("tabindex");
  }
  shown.chosen = at;
  spans[at].setAttribute("aria-current", "true");
  spans[at].setAttribute("tabindex", "0");
  if (focus) spans[at].focus();
  tellToken(at);
}

function tellToken(at) {
  const drop = shown.withAll[at] - shown.without[at];
  $("token").replaceChildren(
    `Token ${at + 1} of ${shown.texts.length} `, make("bdi", {}, JSON.stringify(shown.texts[at])),
    ": log-probability ", make("b", {}, plain(shown.withAll[at])), " with all memories, ",
    make("b", {}, plain(shown.without[at])), " without this one: ", make("b", {}, signed(drop)), " nats");
}

const tokenOf = (event) => {
  const span = event.target.closest("[data-token]");
  return span ? +span.dataset.token : -1;
};
$("tokens").addEventListener("mouseover", (event) => {
  const at = tokenOf(event);
  if (at >= 0) tellToken(at);
});
$("tokens").addEventListener("mouseleave", () => { if (shown.chosen >= 0) tellToken(shown.chosen); });
$("tokens").addEventListener("click", (event) => chooseToken(tokenOf(event), true));
$("tokens").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step && shown.chosen >= 0) {
    event.preventDefault();
    chooseToken(shown.chosen + step, true);
  }
});
$("drill").addEventListener("click", (event) => {
  const row = event.target.closest("[data-memory]");
  if (!row) return;
  goTo(+row.dataset.memory, open.r);
  $("drill").querySelector(`[data-memory="${open.m}"]`)?.focus();
});
$("previous").addEventListener("click", () => goTo(open.m, open.r - 1));
$("next").addEventListener("click", () => goTo(open.m, open.r + 1));

/** Open a cell, with the heatmap's cursor on it. */
function goTo(m, r) {
  if (!order.includes(m)) {
    $("filter").value = "";
    sortRows();
  }
  Object.assign(cursor, { m, r });
  show(m, r);
  showCursor();
}

/* The head, and where to begin */

function describe() {
  $("title").textContent = head.title;
  const facts = [
    `${count(M, "memory")} × ${count(R, "response")}`, head.scorer, `${head.metric} divergence in nats`,
    head.noise === null ? "noise unknown" : `noise ${+head.noise.toPrecision(2)}`,
    head.reconstructed && "reconstructed", head.proxy_for && "by proxy", head.cost,
    `${head.format}: ${head.file}`, head.branch && `branch ${head.branch}`,
  ];
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  $("written").textContent = head.written;
  const total = states.reduce((sum, state) => sum + (state === SCORED), 0);
  const held = Object.values(details).reduce((sum, detail) => sum + Object.keys(detail.without).length, 0);
  const notes = [...head.notes];
  if (!head.per_token) {
    notes.push("The scorer gave the total of each response only; nothing is known of single tokens.");
  } else if (held < total) {
    notes.push(
      `Word by word this report shows ${held.toLocaleString("en")} of ${count(total, "scored cell")}, ` +
      "those with the largest divergence: it holds at most " + head.budget.toLocaleString("en") +
      " log-probabilities of tokens, and only those that were still kept. Of the other cells it has the total.");
  }
  const left = [[PENDING, "not scored"], [RUNNING, "still being scored"], [FAILED, "failed"]];
  for (const [state, words] of left) {
    const cells = states.reduce((sum, each) => sum + (each === state), 0);
    if (cells) notes.push(`${count(cells, "cell")} ${cells === 1 ? "is" : "are"} ${words} and in no sum.`);
  }
  $("about").hidden = !notes.length;
  $("about-summary").textContent = count(notes.length, "note");
  $("about").open = notes.length > 0 && notes.length <= 4;
  $("notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
}

/** The cell that the address names, else the strongest. */
function begin() {
  const named = /^#r(\d+)-m(\d+)$/.exec(location.hash);
  if (named && +named[1] >= 1 && +named[1] <= R && +named[2] >= 1 && +named[2] <= M) {
    return { m: +named[2] - 1, r: +named[1] - 1 };
  }
  let best = -1;
  for (let at = 0; at < M * R; at++) {
    if (states[at] === SCORED && (best < 0 || Math.abs(values[at]) > Math.abs(values[best]))) best = at;
  }
  return best < 0 ? null : { m: Math.floor(best / R), r: best % R };
}

readColours();
describe();
legend();
sortRows();
const beginning = begin();
if (beginning) goTo(beginning.m, beginning.r);
