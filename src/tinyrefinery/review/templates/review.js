"use strict";
const $ = (id) => document.getElementById(id);
const AHEAD = 20; // pictures fetched before they are needed
const KEYS = { o: "ok", h: "too_hard", a: "ambiguous", x: "drop", s: "skip" };
let state = JSON.parse($("state").textContent);
const live = state === null;
let at = -1, kind = "seen", tests = false, since = 0, busy = false;
const made = []; // of the page that is taken along: {index, line}
const ahead = new Map();

function fail(message) {
  $("error").textContent = message;
  $("error").hidden = !message;
}

async function ask(name, content) {
  const options = content === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
  };
  const answer = await fetch(name, options);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

function address(index, which) {
  return live ? `image/${index}/${which}` : state.items[index][which];
}

function open(from) {
  for (let n = 0; n < state.items.length; n++) {
    const index = (from + n) % state.items.length;
    if (!(index in state.decided)) return index;
  }
  return -1;
}

function prefetch() {
  if (!live) return;
  let index = at;
  for (let n = 0; n < AHEAD && index >= 0; n++) {
    for (const which of ["seen", "source"]) {
      const name = address(index, which);
      if (!ahead.has(name)) { const image = new Image(); image.src = name; ahead.set(name, image); }
    }
    index = open(index + 1);
    if (index <= at) break;
  }
  while (ahead.size > 4 * AHEAD) ahead.delete(ahead.keys().next().value);
}

function show(index) {
  at = index; kind = "seen"; tests = false; since = performance.now();
  const total = state.items.length, done = Object.keys(state.decided).length;
  $("count").textContent = `${done} of ${total} decided`;
  $("bar").style.width = `${total ? (100 * done) / total : 100}%`;
  $("work").hidden = at < 0; $("done").hidden = at >= 0;
  if (at < 0) {
    $("doneword").textContent = live ? "Every decision is on disk. Next: tinyrefinery apply" : "Download your decisions.";
    return;
  }
  const item = state.items[at];
  $("why").textContent = item.why;
  $("given").textContent = item.given === null ? "none" : item.given;
  const said = [["network", item.network], ["refiner", item.refiner]]
    .filter(([, p]) => Object.keys(p).length)
    .map(([who, p]) => `${who}: ` + Object.entries(p).map(([k, v]) => `${k} ${v.toFixed(2)}`).join(", "));
  $("said").textContent = said.join("; ") || "nothing";
  const best = item.suggest === null ? item.given : item.suggest;
  $("accept").hidden = best === null;
  $("acceptword").textContent = best === item.given ? `${best}: label is right` : `it is ${best}`;
  $("file").textContent = `${item.split} · ${item.file_name}`;
  document.querySelector('[data-verdict="ok"]').disabled = item.given === null;
  for (const button of $("classes").children) {
    button.className = button.dataset.label === item.given ? "given" : button.dataset.label === item.suggest ? "suggested" : "";
  }
  $("search").value = "";
  mark(); draw(); prefetch();
}

function mark() {
  const trains = state.items[at].trains;
  $("test").setAttribute("aria-pressed", String(tests));
  $("test").disabled = trains;
  $("testnote").textContent = trains ? "a training image can't become a test" : tests ? `joins ${state.slice}` : "";
}

function draw() {
  const picture = $("picture");
  picture.src = address(at, kind);
  picture.alt = `image ${at + 1}, ${kind}`;
  $("view").className = kind;
  $("kind").textContent = kind === "seen" ? "as the network sees it" : "source";
}

$("picture").addEventListener("load", () => {
  const picture = $("picture");
  $("view").classList.toggle("small", picture.naturalWidth <= 128 && picture.naturalHeight <= 128);
});

function word(verdict, label) {
  return verdict + (verdict === "relabel" ? ` ${label}` : "");
}

function time() { // ISO 8601 with microseconds, so that two decisions never have one time
  return new Date().toISOString().replace("Z", String(made.length % 1000).padStart(3, "0") + "Z");
}

function keep(content) { // the page that is taken along
  const item = state.items[content.index];
  const same = content.verdict === "relabel" && content.label === item.given;
  const verdict = same ? "ok" : content.verdict;
  const line = { uid: `sha256:${item.uid}`, verdict };
  if (verdict === "relabel") line.label = content.label;
  if (item.given !== null) line.was = item.given;
  Object.assign(line, { by: state.reviewer, at: time(), queue: state.queue, reason: item.reason, file_name: item.file_name });
  if (content.slice) line.slices = [state.slice];
  line.seconds = content.seconds;
  if (item.settles) line.settles = true;
  made.push({ index: content.index, line });
  return { index: content.index, word: word(verdict, content.label) };
}

async function decide(verdict, label) {
  if (at < 0 || busy) return;
  if (verdict === "ok" && state.items[at].given === null) return;
  busy = true;
  const seconds = Math.min(86400, Math.round((performance.now() - since) / 10) / 100);
  const content = { index: at, verdict, slice: tests, seconds };
  if (verdict === "relabel") content.label = label;
  try {
    const told = live ? await ask("decide", content) : keep(content);
    fail("");
    state.decided[told.index] = told.word;
    show(open(told.index + 1));
  } catch (error) {
    fail(`Not kept: ${error.message}. Is the command still running?`);
  } finally { busy = false; }
}

async function undo() {
  if (busy) return;
  busy = true;
  try {
    const told = live ? await ask("undo", {}) : { index: made.length ? made.pop().index : null };
    fail("");
    if (told.index !== null) { delete state.decided[told.index]; show(told.index); }
  } catch (error) { fail(`Not undone: ${error.message}`); } finally { busy = false; }
}

function accept() {
  const item = state.items[at];
  if (item.suggest !== null && item.suggest !== item.given) decide("relabel", item.suggest);
  else if (item.given !== null) decide("ok");
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key;
  if (event.target === $("search")) {
    if (key === "Escape") $("search").blur();
    if (key === "Enter") {
      const name = $("search").value.trim();
      if (state.classes.includes(name)) { $("search").blur(); decide("relabel", name); }
      else fail(`No class "${name}"`);
    }
    return;
  }
  if (key === "u") { undo(); event.preventDefault(); return; }
  if (at < 0) return;
  if (event.repeat && key !== " ") return; // a key held down decides once
  if (key === " ") { kind = kind === "seen" ? "source" : "seen"; draw(); }
  else if (key === "Enter") accept();
  else if (key === "t") { if (!state.items[at].trains) { tests = !tests; mark(); } }
  else if (key === "/") $("search").focus();
  else if (key in KEYS) decide(KEYS[key]);
  else {
    const n = state.classes.findIndex((_, place) => keyOf(place) === key);
    if (n < 0) return;
    decide("relabel", state.classes[n]);
  }
  event.preventDefault();
}

function download() {
  const text = made.map((each) => JSON.stringify(each.line) + "\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" }));
  link.download = `${state.queue}.${state.reviewer}.decisions.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function digits() { // classes that are digits have their own keys
  return state.classes.every((name) => /^[0-9]$/.test(name));
}

function keyOf(n) {
  return digits() ? state.classes[n] : n < 9 ? String(n + 1) : "";
}

async function start() {
  if (live) state = await ask("state");
  $("queue").textContent = state.queue;
  $("reviewer").textContent = state.reviewer;
  state.classes.forEach((name, n) => {
    const button = document.createElement("button");
    button.dataset.label = name;
    button.title = name;
    if (keyOf(n)) { const k = document.createElement("kbd"); k.textContent = keyOf(n); button.append(k, " "); }
    button.append(name);
    button.addEventListener("click", () => { button.blur(); decide("relabel", name); });
    $("classes").append(button);
    const option = document.createElement("option");
    option.value = name;
    $("names").append(option);
  });
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.addEventListener("click", () => { button.blur(); decide(button.dataset.verdict); });
  }
  $("accept").addEventListener("click", () => { $("accept").blur(); accept(); });
  $("undo").addEventListener("click", () => { $("undo").blur(); undo(); });
  $("test").addEventListener("click", () => { $("test").blur(); tests = !tests; mark(); });
  $("download").addEventListener("click", download);
  $("downloads").hidden = live;
  if (!live) addEventListener("beforeunload", (event) => { if (made.length) event.preventDefault(); });
  document.addEventListener("keydown", press);
  show(open(0));
}

start().catch((error) => fail(`The page can't start: ${error.message}`));
