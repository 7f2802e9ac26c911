// One photo at a time: sent as it is, answered in classes, and shown with the places that spoke for a class.

const SHOWN = 12; // classes; a model may know a thousand
const WEIGHTS = { imagenet: "ImageNet", random: "random, untrained" };
const at = (id) => document.getElementById(id);
const percent = (share) => `${(share * 100).toFixed(1)} %`;

let model = { classes: [] };
let limit = Infinity;
let current = null; // { file, heats: Map of class to data URL or null }
let asking = new AbortController();

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error ?? `The server answered ${response.status}.`);
  return told;
}

async function start() {
  const told = await ask("/model");
  ({ model, limit } = told);
  const network = model.backbone.replace(/\.keras$/, "");
  at("model-name").textContent = `${model.name} · ${network}`;
  at("caution").textContent = told.caution ? `Caution: ${told.caution}.` : "";
  at("caution").hidden = !told.caution;
  at("kinds").textContent = `JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF, up to ${limit / 1e6} MB`;
  at("curl").textContent = `curl -F file=@photo.jpg '${location.origin}/predict'`;
  const facts = {
    Model: model.name,
    Network: network,
    Weights: model.weights === model.backbone ? "that file’s own" : WEIGHTS[model.weights] ?? model.weights,
    "Trained on": model.dataset === "synthetic" ? "generated pictures" : model.dataset,
    Input: `${model.image_size} × ${model.image_size} pixels`,
  };
  at("facts").replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
  showClasses(model.classes.map((name) => ({ class: name, probability: null })));
}

function element(kind, text, className = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = className;
  return made;
}

function showClasses(predictions) {
  const answered = predictions[0]?.probability !== null;
  at("classes").classList.toggle("unanswered", !answered);
  at("classes").replaceChildren(...predictions.slice(0, SHOWN).map((one) => {
    const button = element("button", "");
    const bar = element("span", "", "bar");
    const fill = document.createElement("i");
    fill.style.setProperty("--share", one.probability ?? 0);
    bar.append(fill);
    button.type = "button";
    button.disabled = !answered;
    button.dataset.of = one.class;
    button.title = answered ? `Show what speaks for ${one.class}` : "";
    button.append(element("span", one.class, "name"), element("span", answered ? percent(one.probability) : "", "share"), bar);
    button.addEventListener("click", () => look(one.class));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

async function open(file) {
  fail("");
  if (file.size > limit) return fail(`This file has ${(file.size / 1e6).toFixed(1)} MB; up to ${limit / 1e6} MB are taken.`);
  URL.revokeObjectURL(at("photo").src);
  const mine = { file, heats: new Map() };
  const chosen = document.activeElement === at("file");
  current = mine;
  showHeat(null);
  at("photo").src = URL.createObjectURL(file);
  at("photo").alt = `Your photo: ${file.name || "pasted"}`;
  at("drop").hidden = true;
  at("figure").hidden = false;
  at("unshown").hidden = true;
  at("tools").hidden = true;
  unanswered("Looking …");
  const began = performance.now();
  const told = await send(mine, "");
  if (!told) return;
  const [best] = told.predictions;
  at("best").classList.remove("none");
  at("best-class").textContent = best.class;
  at("best-share").textContent = percent(best.probability);
  at("unlike").hidden = !told.unlike;
  const rest = told.predictions.length - SHOWN;
  at("hint").textContent = `Answered in ${((performance.now() - began) / 1000).toFixed(2)} s. `
    + (rest > 0 ? `The ${rest} least likely classes are left out. ` : "") + "Choose a class to see what speaks for it.";
  at("said").textContent = `${best.class}, ${percent(best.probability)}${told.unlike ? `. ${at("unlike").textContent}` : ""}`;
  showClasses(told.predictions);
  at("tools").hidden = false;
  if (chosen) at("again").focus(); // the field that had the focus is hidden now
  showHeat(told.saliency_of);
}

/* Where the model looks for another class than the best: asked for once a class. */
async function look(of) {
  const mine = current;
  if (!mine.heats.has(of) && !(await send(mine, `&of=${encodeURIComponent(of)}`))) return;
  at("show").checked = true;
  showHeat(of);
  at("stage").scrollIntoView({ block: "nearest" }); // on a phone the list is below the photo
}

async function send(mine, query) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  at("working").hidden = false;
  try {
    const body = mine.file;
    const headers = { "content-type": "application/octet-stream" };
    const told = await ask(`/predict?saliency=true${query}`, { method: "POST", body, headers, signal });
    mine.heats.set(told.saliency_of, told.saliency);
    return told;
  } catch (error) {
    if (error.name === "AbortError") return null;
    if (!query) reset();
    fail(error.message);
    return null;
  } finally {
    if (!signal.aborted) at("working").hidden = true;
  }
}

function showHeat(of) {
  const heat = of === null ? null : current.heats.get(of);
  if (heat) at("heat").src = heat;
  at("looked-for").textContent = of === null ? "" : heat ? ` for ${of}` : ` for ${of}: nowhere in this photo`;
  at("heat").dataset.of = heat ? of : "";
  for (const button of at("classes").querySelectorAll("button")) {
    button.ariaPressed = String(button.dataset.of === of);
  }
  drawHeat();
}

function drawHeat() {
  at("heat").hidden = !(at("show").checked && at("heat").dataset.of);
  at("heat").style.opacity = at("strength").value / 100;
  at("strength").ariaValueText = `${at("strength").value} percent`;
}

function unanswered(words) {
  at("best").classList.add("none");
  at("best-class").textContent = words;
  at("best-share").textContent = "";
  at("unlike").hidden = true;
  at("hint").textContent = "The model knows these classes:";
  showClasses(model.classes.map((name) => ({ class: name, probability: null })));
}

function reset() {
  asking.abort();
  current = null;
  at("working").hidden = true;
  at("figure").hidden = true;
  at("unshown").hidden = true;
  at("tools").hidden = true;
  at("drop").hidden = false;
  at("file").value = "";
  unanswered("No photo yet");
}

function fail(words) {
  at("failure").textContent = words;
  at("failure").hidden = !words;
}

function take(list) {
  const [file] = list;
  if (file) open(file);
  else fail("That was no file. Save the picture first, then drop or choose it.");
}

at("file").addEventListener("change", () => at("file").files.length && take(at("file").files));
at("show").addEventListener("change", drawHeat);
at("strength").addEventListener("input", drawHeat);
at("again").addEventListener("click", () => {
  reset();
  fail("");
  at("file").focus();
  at("file").click();
});
at("photo").addEventListener("error", () => {
  if (!current) return;
  at("figure").hidden = true;
  at("unshown").hidden = false;
});

document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("stage").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) at("stage").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("stage").classList.remove("over");
  take(event.dataTransfer.files);
});

at("best").classList.add("none");
start().catch((error) => fail(error.message));
