// One doubted label at a time: an answer goes to the server, which writes it, and the next undecided one comes.

const DIGITS = "1234567890";
const at = (id) => document.getElementById(id);
const percent = (share) => `${(share * 100).toFixed(0)} %`;
const photo = (row, side) => `photo/${row}?side=${side}`;

sessionStorage.tab ??= crypto.randomUUID(); // of this window, which takes its own answers back, after a reload too
const tab = sessionStorage.tab;

let queue = { classes: [], cases: [], models: 0 };
let decided = {}; // path: class, or null of one that is dropped
let place = 0; // in the cases; as many as there are of them where all are decided
let canUndo = false;
let busy = false;

async function ask(path, said) {
  const options = said && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(said) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error ?? `The server answered ${response.status}.`);
  return told;
}

function element(kind, text, className = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = className;
  return made;
}

const isDecided = (one) => one.path in decided;

/* The next that is undecided, from a place on and then from the start; the end where there is none. */
function undecidedFrom(start) {
  const { cases } = queue;
  for (let step = 0; step < cases.length; step += 1) {
    const found = (start + step) % cases.length;
    if (!isDecided(cases[found])) return found;
  }
  return cases.length;
}

function words(one) {
  if (!isDecided(one)) return "";
  const label = decided[one.path];
  if (label === null) return "dropped";
  return label === one.label ? `kept as ${label}` : `relabelled as ${label}`;
}

function show() {
  const { cases } = queue;
  const sure = cases.filter(isDecided);
  at("count").textContent = `${sure.length} of ${cases.length} decided`;
  at("progress").max = cases.length;
  at("progress").value = sure.length;
  const ended = place >= cases.length;
  at("case").hidden = ended;
  at("done").hidden = !ended;
  at("title").textContent = ended ? "All are decided" : `Is this ${cases[place].label}?`;
  if (ended) {
    const counted = { kept: 0, relabelled: 0, dropped: 0 };
    for (const one of sure) counted[words(one).split(" ")[0]] += 1;
    at("sum").textContent = `Kept: ${counted.kept}. Relabelled: ${counted.relabelled}. Dropped: ${counted.dropped}.`;
    at("done").focus();
    return;
  }
  showCase(cases[place]);
}

function showCase(one) {
  at("photo").src = photo(one.row, 1600);
  at("photo").alt = `Photo ${one.path}`;
  at("path").textContent = one.path;
  const answered = words(one);
  at("place").textContent = `${place + 1} of ${queue.cases.length}${answered ? `: ${answered}` : ""}`;
  const models = queue.models === 1 ? "The model" : `${one.models_disagreeing} of ${queue.models} models`;
  at("doubt").textContent = one.models_disagreeing
    ? `${models}, which did not learn from this photo, would call it otherwise. On average they say:`
    : "No model that did not learn from this photo would call it otherwise. On average they say:";
  at("said-of").replaceChildren(
    element("dt", one.suggested), element("dd", percent(one.suggested_probability)),
    element("dt", `${one.label} (its label)`), element("dd", percent(one.label_probability)),
  );
  at("keep").firstChild.textContent = `Keep: ${one.label}`;
  at("suggested").firstChild.textContent = `It is ${one.suggested}`;
  press(at("keep"), isDecided(one) && decided[one.path] === one.label);
  press(at("suggested"), isDecided(one) && decided[one.path] === one.suggested);
  press(at("drop"), isDecided(one) && decided[one.path] === null);
  for (const button of at("others").querySelectorAll("button")) press(button, decided[one.path] === button.dataset.label);
  showAround(one);
  at("back").disabled = place === 0;
  at("undo").disabled = !canUndo;
}

function press(button, on) {
  button.ariaPressed = String(on);
}

function showAround(one) {
  at("alone").hidden = one.around.length > 0;
  at("around").replaceChildren(...one.around.map((other) => {
    const item = document.createElement("li");
    const small = document.createElement("img");
    const label = other.path in decided ? decided[other.path] ?? "dropped" : other.label;
    small.src = photo(other.row, 320);
    small.alt = other.path;
    small.title = other.path;
    if (other.away === 0) item.ariaCurrent = "true";
    const away = Math.abs(other.away);
    const where = other.away === 0 ? "this one" : `${away} ${other.away < 0 ? "before" : "after"}`;
    item.append(small, element("span", where, "away"), element("span", label, label === one.label ? "" : "differs"));
    return item;
  }));
}

function fail(text) {
  at("failure").textContent = text;
  at("failure").hidden = !text;
}

/* One request at a time, so that answers are written in the order of the keys. */
async function alone(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
    fail("");
  } catch (error) {
    fail(error.message);
  } finally {
    busy = false;
  }
  show();
}

function answer(label) {
  const one = queue.cases[place];
  if (!one) return;
  alone(async () => {
    ({ decided, can_undo: canUndo } = await ask("answer", { path: one.path, label, window: tab }));
    at("said").textContent = `${one.path}: ${words(one)}`;
    place = undecidedFrom(place + 1);
  });
}

function undo() {
  alone(async () => {
    const told = await ask("undo", { window: tab });
    ({ decided, can_undo: canUndo } = told);
    const found = queue.cases.findIndex((one) => told.paths.includes(one.path));
    if (found < 0) return;
    place = found;
    at("said").textContent = `${queue.cases[found].path}: undone`;
  });
}

function move(step) {
  if (busy) return;
  place = Math.min(Math.max(place + step, 0), queue.cases.length - 1);
  show();
}

const KEYS = {
  k: () => answer(queue.cases[place]?.label),
  s: () => answer(queue.cases[place]?.suggested),
  d: () => answer(null),
  u: undo,
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
};

document.addEventListener("keydown", (event) => {
  // A key that is held down is one answer; with Ctrl and the like it is the browser's.
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const label = DIGITS.includes(event.key) ? queue.classes[DIGITS.indexOf(event.key)] : undefined;
  const act = label === undefined ? KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key] : () => answer(label);
  if (!act) return;
  event.preventDefault();
  act();
});

at("keep").addEventListener("click", KEYS.k);
at("suggested").addEventListener("click", KEYS.s);
at("drop").addEventListener("click", KEYS.d);
at("undo").addEventListener("click", undo);
at("back").addEventListener("click", KEYS.ArrowLeft);
at("next").addEventListener("click", KEYS.ArrowRight);
at("again").addEventListener("click", () => {
  place = 0;
  show();
});
at("photo").addEventListener("error", () => fail("This photo cannot be shown. Run `dvc repro suspects`, then begin again."));

function showClasses() {
  at("others").replaceChildren(...queue.classes.map((label, number) => {
    const button = element("button", label);
    button.type = "button";
    button.dataset.label = label;
    if (number < DIGITS.length) button.append(element("kbd", DIGITS[number]));
    button.addEventListener("click", () => answer(label));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

async function start() {
  const told = await ask(`/queue?window=${tab}`);
  ({ decided, can_undo: canUndo } = told);
  queue = told;
  showClasses();
  place = undecidedFrom(0);
  show();
}

start().catch((error) => fail(error.message));
