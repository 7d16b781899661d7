"use strict";
const $ = (id) => document.getElementById(id);
const AHEAD = 20; // pictures fetched before they are needed
const KEYS = { o: "ok", h: "too_hard", a: "ambiguous", x: "drop", s: "skip" };
let state = JSON.parse($("state").textContent);
const live = state === null;
let at = -1, kind = "seen", addToTest = false, since = 0, busy = false;
const decisions = []; // of the static page: {index, line}
const prefetched = new Map();

function fail(message) {
  $("error").textContent = message;
  $("error").hidden = !message;
}

async function request(name, content) {
  const options = content === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
  };
  const response = await fetch(name, options);
  const reply = await response.json();
  if (!response.ok) throw new Error(reply.error);
  return reply;
}

function address(index, which) {
  return live ? `image/${index}/${which}` : state.items[index][which];
}

function nextOpen(from) {
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
      if (!prefetched.has(name)) { const image = new Image(); image.src = name; prefetched.set(name, image); }
    }
    index = nextOpen(index + 1);
    if (index <= at) break;
  }
  while (prefetched.size > 4 * AHEAD) prefetched.delete(prefetched.keys().next().value);
}

function show(index) {
  at = index; kind = "seen"; addToTest = false; since = performance.now();
  const total = state.items.length, done = Object.keys(state.decided).length;
  $("count").textContent = `${done} of ${total} reviewed`;
  const percent = total ? (100 * done) / total : 100;
  $("bar").style.width = `${percent}%`;
  $("progress").setAttribute("aria-valuenow", Math.round(percent));
  $("work").hidden = at < 0; $("done").hidden = at >= 0;
  if (at < 0) {
    $("doneword").textContent = live ? `All decisions are in ${state.file}. Next:` : "Download your decisions. Next:";
    $("next").textContent = `tinyrefinery apply ${quoted(live ? state.file : downloadName())}`;
    return;
  }
  const item = state.items[at];
  $("why").textContent = item.why;
  $("given").textContent = item.given === null ? "none" : item.given;
  const predicted = [["network", item.network], ["refiner", item.refiner]]
    .filter(([, p]) => Object.keys(p).length)
    .map(([name, p]) => `${name}: ` + Object.entries(p).map(([k, v]) => `${k} ${v.toFixed(2)}`).join(", "));
  $("predicted").textContent = item.test ? "hidden: this is a test image" : predicted.join("; ") || "nothing";
  const best = item.test ? null : item.suggest === null ? item.given : item.suggest;
  $("accept").hidden = best === null;
  $("acceptword").textContent = best === item.given ? `${best}: label is correct` : `relabel to ${best}`;
  $("file").textContent = `${item.split} · ${item.file_name}`;
  document.querySelector('[data-verdict="ok"]').disabled = item.given === null;
  for (const button of $("classes").children) {
    button.className = button.dataset.label === item.given ? "given" : button.dataset.label === item.suggest ? "suggested" : "";
  }
  $("search").value = "";
  showTest(); draw(); prefetch();
}

function showTest() {
  const trains = state.items[at].trains;
  $("test").setAttribute("aria-pressed", String(addToTest));
  $("test").disabled = trains;
  $("testnote").textContent = trains ? "a training image can't become a test" : addToTest ? `list: ${state.slice}` : "";
}

function draw() {
  const picture = $("picture");
  picture.src = address(at, kind);
  picture.alt = `image ${at + 1}, ${kind}`;
  $("view").className = kind;
  $("kind").textContent = kind === "seen" ? "network input" : "source";
}

$("picture").addEventListener("load", () => {
  const picture = $("picture");
  $("view").classList.toggle("small", picture.naturalWidth <= 128 && picture.naturalHeight <= 128);
});

function word(verdict, label) {
  return verdict + (verdict === "relabel" ? ` ${label}` : "");
}

function time() { // ISO 8601 with microseconds, so that no two decisions have the same time
  return new Date().toISOString().replace("Z", String(decisions.length % 1000).padStart(3, "0") + "Z");
}

function keep(content) { // on the static page
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
  decisions.push({ index: content.index, line });
  return { index: content.index, word: word(verdict, content.label) };
}

async function decide(verdict, label) {
  if (at < 0 || busy) return;
  if (verdict === "ok" && state.items[at].given === null) return;
  busy = true;
  const seconds = Math.min(86400, Math.round((performance.now() - since) / 10) / 100);
  const content = { index: at, verdict, slice: addToTest, seconds };
  if (verdict === "relabel") content.label = label;
  try {
    const reply = live ? await request("decide", content) : keep(content);
    fail("");
    state.decided[reply.index] = reply.word;
    show(nextOpen(reply.index + 1));
  } catch (error) {
    fail(`Not saved: ${error.message}. Is the command still running?`);
  } finally { busy = false; }
}

async function undo() {
  if (busy) return;
  busy = true;
  try {
    const reply = live ? await request("undo", {}) : { index: decisions.length ? decisions.pop().index : null };
    fail("");
    if (reply.index !== null) { delete state.decided[reply.index]; show(reply.index); }
  } catch (error) { fail(`Not undone: ${error.message}`); } finally { busy = false; }
}

function accept() {
  const item = state.items[at];
  if (item.test) fail("This is a test image: choose a class, or press o if the label is correct.");
  else if (item.suggest !== null && item.suggest !== item.given) decide("relabel", item.suggest);
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
  if (event.repeat && key !== " ") return; // holding a key down decides only once
  if (key === " ") { kind = kind === "seen" ? "source" : "seen"; draw(); }
  else if (key === "Enter") accept();
  else if (key === "t") { if (!state.items[at].trains) { addToTest = !addToTest; showTest(); } }
  else if (key === "/") $("search").focus();
  else if (key in KEYS) decide(KEYS[key]);
  else {
    const n = state.classes.findIndex((_, place) => keyOf(place) === key);
    if (n < 0) return;
    decide("relabel", state.classes[n]);
  }
  event.preventDefault();
}

function downloadName() {
  return `${state.queue}.${state.reviewer}.decisions.jsonl`;
}

function quoted(name) { // as a shell needs it
  return /^[\w./-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}

function download() {
  const text = decisions.map((decision) => JSON.stringify(decision.line) + "\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/x-ndjson" }));
  link.download = downloadName();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function digits() { // classes named by digits get these digits as keys
  return state.classes.every((name) => /^[0-9]$/.test(name));
}

function keyOf(n) {
  return digits() ? state.classes[n] : n < 9 ? String(n + 1) : "";
}

async function start() {
  if (live) state = await request("state");
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
  $("test").addEventListener("click", () => { $("test").blur(); addToTest = !addToTest; showTest(); });
  $("download").addEventListener("click", download);
  $("downloads").hidden = live;
  if (!live) addEventListener("beforeunload", (event) => { if (decisions.length) event.preventDefault(); });
  document.addEventListener("keydown", press);
  show(nextOpen(0));
}

start().catch((error) => fail(`The page can't start: ${error.message}`));
