// Shows one doubtful label at a time. Each answer goes to the server, which writes it; then the next undecided label is shown.

import { byId, element, fetchJson, showError } from "./page.js";

const DIGITS = "1234567890";
const percent = (share) => `${(share * 100).toFixed(0)} %`;
const photoUrl = (row, side) => `photo/${row}?side=${side}`;

sessionStorage.tab ??= crypto.randomUUID(); // identifies this window, which undoes its own answers, also after a reload
const browserWindow = sessionStorage.tab;

let queue = { classes: [], cases: [], models: 0 };
let decided = {}; // path: class, or null for a dropped photo
let position = 0; // index of the case that is shown; the number of cases if all are decided
let canUndo = false;
let busy = false;

function post(path, request) {
  return fetchJson(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request) });
}

const isDecided = (suspect) => suspect.path in decided;

/* The index of the next undecided case from `first` on, then from the start; the number of cases if there is none. */
function undecidedFrom(first) {
  const { cases } = queue;
  for (let step = 0; step < cases.length; step += 1) {
    const index = (first + step) % cases.length;
    if (!isDecided(cases[index])) return index;
  }
  return cases.length;
}

function decisionText(suspect) {
  if (!isDecided(suspect)) return "";
  const label = decided[suspect.path];
  if (label === null) return "dropped";
  return label === suspect.label ? `kept as ${label}` : `relabelled as ${label}`;
}

function render() {
  const { cases } = queue;
  const decidedCases = cases.filter(isDecided);
  byId("count").textContent = `${decidedCases.length} of ${cases.length} decided`;
  byId("progress").max = cases.length;
  byId("progress").value = decidedCases.length;
  const ended = position >= cases.length;
  byId("case").hidden = ended;
  byId("done").hidden = !ended;
  byId("title").textContent = ended ? "All are decided" : `Is this ${cases[position].label}?`;
  if (ended) {
    const counts = { kept: 0, relabelled: 0, dropped: 0 };
    for (const suspect of decidedCases) counts[decisionText(suspect).split(" ")[0]] += 1;
    byId("sum").textContent = `Kept: ${counts.kept}. Relabelled: ${counts.relabelled}. Dropped: ${counts.dropped}.`;
    byId("done").focus();
    return;
  }
  showCase(cases[position]);
}

function showCase(suspect) {
  byId("photo").src = photoUrl(suspect.row, 1600);
  byId("photo").alt = `Photo ${suspect.path}`;
  byId("path").textContent = suspect.path;
  const decision = decisionText(suspect);
  byId("place").textContent = `${position + 1} of ${queue.cases.length}${decision ? `: ${decision}` : ""}`;
  const models = queue.models === 1 ? "The model" : `${suspect.models_disagreeing} of ${queue.models} models`;
  byId("doubt").textContent = suspect.models_disagreeing
    ? `${models}, not trained on this photo, predict another class. On average they predict:`
    : "No model that was not trained on this photo predicts another class. On average they predict:";
  byId("probabilities").replaceChildren(
    element("dt", suspect.suggested), element("dd", percent(suspect.suggested_probability)),
    element("dt", `${suspect.label} (its label)`), element("dd", percent(suspect.label_probability)),
  );
  byId("keep").firstChild.textContent = `Keep: ${suspect.label}`;
  byId("suggested").firstChild.textContent = `It is ${suspect.suggested}`;
  setPressed(byId("keep"), isDecided(suspect) && decided[suspect.path] === suspect.label);
  setPressed(byId("suggested"), isDecided(suspect) && decided[suspect.path] === suspect.suggested);
  setPressed(byId("drop"), isDecided(suspect) && decided[suspect.path] === null);
  for (const button of byId("others").querySelectorAll("button")) setPressed(button, decided[suspect.path] === button.dataset.label);
  showNeighbours(suspect);
  byId("back").disabled = position === 0;
  byId("undo").disabled = !canUndo;
}

function setPressed(button, on) {
  button.ariaPressed = String(on);
}

function showNeighbours(suspect) {
  byId("alone").hidden = suspect.around.length > 0;
  byId("around").replaceChildren(...suspect.around.map((neighbour) => {
    const item = document.createElement("li");
    const thumbnail = document.createElement("img");
    const label = neighbour.path in decided ? decided[neighbour.path] ?? "dropped" : neighbour.label;
    thumbnail.src = photoUrl(neighbour.row, 320);
    thumbnail.alt = neighbour.path;
    thumbnail.title = neighbour.path;
    if (neighbour.away === 0) item.ariaCurrent = "true";
    const away = Math.abs(neighbour.away);
    const where = neighbour.away === 0 ? "this one" : `${away} ${neighbour.away < 0 ? "before" : "after"}`;
    item.append(thumbnail, element("span", where, "away"), element("span", label, label === suspect.label ? "" : "differs"));
    return item;
  }));
}

/* Sends one request at a time, so that answers are written in the order of the key strokes. */
async function runExclusively(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
    showError("");
  } catch (error) {
    showError(error.message);
  } finally {
    busy = false;
  }
  render();
}

function sendAnswer(label) {
  const suspect = queue.cases[position];
  if (!suspect) return;
  runExclusively(async () => {
    ({ decided, can_undo: canUndo } = await post("answer", { path: suspect.path, label, window: browserWindow }));
    byId("announcement").textContent = `${suspect.path}: ${decisionText(suspect)}`;
    position = undecidedFrom(position + 1);
  });
}

function undoAnswer() {
  runExclusively(async () => {
    const response = await post("undo", { window: browserWindow });
    ({ decided, can_undo: canUndo } = response);
    const index = queue.cases.findIndex((suspect) => response.paths.includes(suspect.path));
    if (index < 0) return;
    position = index;
    byId("announcement").textContent = `${queue.cases[index].path}: undone`;
  });
}

function movePosition(step) {
  if (busy) return;
  position = Math.min(Math.max(position + step, 0), queue.cases.length - 1);
  render();
}

const KEYS = {
  k: () => sendAnswer(queue.cases[position]?.label),
  s: () => sendAnswer(queue.cases[position]?.suggested),
  d: () => sendAnswer(null),
  u: undoAnswer,
  ArrowLeft: () => movePosition(-1),
  ArrowRight: () => movePosition(1),
};

document.addEventListener("keydown", (event) => {
  // A key that is held down gives one answer; combinations with Ctrl, Alt or Meta belong to the browser.
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const label = DIGITS.includes(event.key) ? queue.classes[DIGITS.indexOf(event.key)] : undefined;
  const act = label === undefined ? KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key] : () => sendAnswer(label);
  if (!act) return;
  event.preventDefault();
  act();
});

byId("keep").addEventListener("click", KEYS.k);
byId("suggested").addEventListener("click", KEYS.s);
byId("drop").addEventListener("click", KEYS.d);
byId("undo").addEventListener("click", undoAnswer);
byId("back").addEventListener("click", KEYS.ArrowLeft);
byId("next").addEventListener("click", KEYS.ArrowRight);
byId("again").addEventListener("click", () => {
  position = 0;
  render();
});
byId("photo").addEventListener("error", () => showError("This photo cannot be shown. Run `dvc repro suspects`, then start `realwaste review` again."));

function showClasses() {
  byId("others").replaceChildren(...queue.classes.map((label, number) => {
    const button = element("button", label);
    button.type = "button";
    button.dataset.label = label;
    if (number < DIGITS.length) button.append(element("kbd", DIGITS[number]));
    button.addEventListener("click", () => sendAnswer(label));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

async function start() {
  const response = await fetchJson(`queue?window=${browserWindow}`);
  ({ decided, can_undo: canUndo } = response);
  queue = response;
  showClasses();
  position = undecidedFrom(0);
  render();
}

start().catch((error) => showError(error.message));
