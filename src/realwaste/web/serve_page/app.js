// Photos are sent as they are, one after the other; the one that is looked at is shown with its classes, and with the
// places that spoke for a class.

import { draw, row, say, walk } from "./photos.js";

const SHOWN = 12; // classes; a model may know a thousand
const WEIGHTS = { imagenet: "ImageNet", random: "random, untrained" };
const at = (id) => document.getElementById(id);
const percent = (share) => `${(share * 100).toFixed(1)} %`;

let model = { classes: [] };
let limit = Infinity;
let photos = []; // { file, name, row, told, error, seconds, heats: Map of class to data URL or null }
let current = null; // the one of them that is looked at
let turn = null; // the one that the server is asked about
let asking = new AbortController(); // for all of them
let looking = new AbortController(); // for one more class of the current one

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
  const told = await ask("model");
  ({ model, limit } = told);
  const network = model.backbone.replace(/\.keras$/, "");
  at("model-name").textContent = `${model.name} · ${network}`;
  at("caution").textContent = told.caution ? `Caution: ${told.caution}.` : "";
  at("caution").hidden = !told.caution;
  at("kinds").textContent = `JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF, up to ${limit / 1e6} MB`;
  at("curl").textContent = `curl -F file=@photo.jpg '${new URL("predict", location)}'`;
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

/* Files more: shown at once, answered in their turn. */
function add(files) {
  fail("");
  const chosen = document.activeElement === at("file");
  const added = files.map((file) => {
    const photo = { file, name: file.name || "pasted", told: null, error: null, seconds: 0, heats: new Map() };
    photo.row = row(photo.name, () => {
      show(photo);
      at("stage").scrollIntoView({ block: "nearest" }); // on a phone it is below the list
    });
    return photo;
  });
  photos.push(...added);
  at("list").append(...added.map((photo) => photo.row));
  at("photos").hidden = photos.length < 2;
  for (const photo of added) draw(photo.row, photo.file);
  if (!turn || !current) show(added[0]);
  if (chosen && photos.length > 1) added[0].row.querySelector("button").focus();
  count();
  work(chosen && photos.length === 1);
}

async function work(chosen) {
  if (turn) return;
  const { signal } = asking;
  for (let next; !signal.aborted && (next = photos.find((photo) => !photo.told && !photo.error)); ) {
    turn = next;
    say(next.row, "Looking …");
    if (next === current) draft(next);
    await answer(next, signal);
    if (signal.aborted) return;
    turn = null;
    count();
    if (next.error && photos.length === 1) return refuse(next.error);
    if (next === current) display(next);
    if (chosen) at("again").focus(); // the field that had the focus is hidden now
  }
  if (photos.length > 1) at("said").textContent = at("progress").textContent;
}

async function answer(photo, signal) {
  const began = performance.now();
  try {
    if (photo.file.size > limit) throw new Error(`This file has ${(photo.file.size / 1e6).toFixed(1)} MB; up to ${limit / 1e6} MB are taken.`);
    photo.told = await send(photo, "", signal);
    photo.seconds = (performance.now() - began) / 1000;
    const [best] = photo.told.predictions;
    const { unlike } = photo.told;
    say(photo.row, `${best.class}, ${percent(best.probability)}${unlike ? "; unlike what was learned" : ""}`, { unlike });
  } catch (error) {
    if (error.name === "AbortError") return;
    photo.error = error.message;
    say(photo.row, error.message, { failed: true });
  }
}

async function send(photo, query, signal) {
  const headers = { "content-type": "application/octet-stream" };
  const told = await ask(`predict?saliency=true${query}`, { method: "POST", body: photo.file, headers, signal });
  photo.heats.set(told.saliency_of, told.saliency);
  return told;
}

function count() {
  const failed = photos.filter((photo) => photo.error).length;
  const done = photos.filter((photo) => photo.told).length;
  at("progress").textContent = `${done} of ${photos.length} answered${failed ? `, ${failed} refused` : ""}`;
}

/* Look at one of them. */
function show(photo) {
  looking.abort();
  current = photo;
  fail("");
  for (const one of photos) one.row.querySelector("button").ariaCurrent = String(one === photo);
  URL.revokeObjectURL(at("photo").src);
  showHeat(null);
  at("photo").src = URL.createObjectURL(photo.file);
  at("photo").alt = `Your photo: ${photo.name}`;
  at("drop").hidden = true;
  at("figure").hidden = false;
  at("unshown").hidden = true;
  if (photo.told || photo.error) display(photo);
  else draft(photo);
}

/* Before there is an answer. */
function draft(photo) {
  at("tools").hidden = photos.length < 2;
  at("working").hidden = photo !== turn;
  unanswered(photo === turn ? "Looking …" : "Waiting …");
}

function display(photo) {
  at("working").hidden = true;
  at("tools").hidden = false;
  if (photo.error) {
    unanswered("No answer");
    fail(photo.error);
    return;
  }
  const { told } = photo;
  const [best] = told.predictions;
  at("best").classList.remove("none");
  at("best-class").textContent = best.class;
  at("best-share").textContent = percent(best.probability);
  at("unlike").hidden = !told.unlike;
  const rest = told.predictions.length - SHOWN;
  at("hint").textContent = `Answered in ${photo.seconds.toFixed(2)} s. `
    + (rest > 0 ? `The ${rest} least likely classes are left out. ` : "") + "Choose a class to see what speaks for it.";
  at("said").textContent = `${best.class}, ${percent(best.probability)}${told.unlike ? `. ${at("unlike").textContent}` : ""}`;
  showClasses(told.predictions);
  showHeat(told.saliency_of);
}

/* Where the model looks for another class than the best: asked for once a class. */
async function look(of) {
  const mine = current;
  if (!mine.heats.has(of)) {
    looking.abort();
    looking = new AbortController();
    at("working").hidden = false;
    try {
      await send(mine, `&of=${encodeURIComponent(of)}`, looking.signal);
    } catch (error) {
      if (error.name !== "AbortError") fail(error.message);
      return;
    } finally {
      if (mine === current) at("working").hidden = true;
    }
  }
  if (mine !== current) return;
  at("show").checked = true;
  showHeat(of);
  at("stage").scrollIntoView({ block: "nearest" }); // on a phone the list is below the photo
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
  looking.abort();
  asking = new AbortController();
  photos = [];
  current = turn = null;
  at("list").replaceChildren();
  at("photos").hidden = true;
  at("working").hidden = true;
  at("figure").hidden = true;
  at("unshown").hidden = true;
  at("tools").hidden = true;
  at("drop").hidden = false;
  at("file").value = "";
  unanswered("No photo yet");
}

function refuse(words) {
  reset();
  fail(words);
}

function fail(words) {
  at("failure").textContent = words;
  at("failure").hidden = !words;
}

function take(list) {
  if (list.length) add([...list]);
  else fail("That was no file. Save the picture first, then drop or choose it.");
}

at("file").addEventListener("change", () => {
  if (at("file").files.length) take(at("file").files);
  at("file").value = ""; // so that the same file can be chosen again
});
at("more").addEventListener("click", () => at("file").click());
walk(at("list"));
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
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
  if (entries.some((entry) => entry?.isDirectory)) fail("Folders are not taken. Drop the photos that are in them.");
  else take(event.dataTransfer.files);
});

at("best").classList.add("none");
start().catch((error) => fail(error.message));
