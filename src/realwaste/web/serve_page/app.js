// Photos are sent unchanged, one after the other. The selected photo is shown with its class probabilities and a heat map
// of where the model looked for a class.

import { downloadCsv } from "./csv.js";
import { byId, element, fetchJson, showError } from "./page.js";
import { createRow, drawThumbnail, enableArrowKeys, setStatus } from "./photos.js";

const SHOWN = 12; // classes; a model may know a thousand
const WEIGHTS = { imagenet: "ImageNet", random: "random, untrained" };
const percent = (share) => `${(share * 100).toFixed(1)} %`;

let model = { classes: [] };
let limit = Infinity;
let photos = []; // { file, name, row, prediction, error, seconds, heats: Map of class to data URL or null }
let current = null; // the selected photo
let inProgress = null; // the photo that the server is predicting
let predictRequests = new AbortController(); // aborts the predictions of all photos
let saliencyRequest = new AbortController(); // aborts the heat map of another class

async function start() {
  const modelInfo = await fetchJson("model");
  ({ model, limit } = modelInfo);
  const network = model.backbone.replace(/\.keras$/, "");
  byId("model-name").textContent = `${model.name} · ${network}`;
  byId("caution").textContent = modelInfo.caution ? `Caution: ${modelInfo.caution}.` : "";
  byId("caution").hidden = !modelInfo.caution;
  byId("kinds").textContent = `JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF, up to ${limit / 1e6} MB`;
  byId("curl").textContent = `curl -F file=@photo.jpg '${new URL("predict", location)}'`;
  const facts = {
    Model: model.name,
    Network: network,
    Weights: model.weights === model.backbone ? "that file’s own" : WEIGHTS[model.weights] ?? model.weights,
    "Trained on": model.dataset === "synthetic" ? "generated pictures" : model.dataset,
    Input: `${model.image_size} × ${model.image_size} pixels`,
  };
  byId("facts").replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
  showClasses(model.classes.map((name) => ({ class: name, probability: null })));
}

function showClasses(predictions) {
  const hasProbabilities = predictions[0]?.probability !== null;
  byId("classes").classList.toggle("unanswered", !hasProbabilities);
  byId("classes").replaceChildren(...predictions.slice(0, SHOWN).map((prediction) => {
    const button = element("button", "");
    const bar = element("span", "", "bar");
    const fill = document.createElement("i");
    fill.style.setProperty("--share", prediction.probability ?? 0);
    bar.append(fill);
    button.type = "button";
    button.disabled = !hasProbabilities;
    button.dataset.of = prediction.class;
    button.title = hasProbabilities ? `Show what speaks for ${prediction.class}` : "";
    button.append(element("span", prediction.class, "name"), element("span", hasProbabilities ? percent(prediction.probability) : "", "share"), bar);
    button.addEventListener("click", () => showSaliency(prediction.class));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

/* Adds photos to the list at once; they are predicted one after the other. */
function addPhotos(files) {
  showError("");
  const focusFirst = document.activeElement === byId("file");
  const newPhotos = files.map((file) => {
    const photo = { file, name: file.name || "pasted", prediction: null, error: null, seconds: 0, heats: new Map() };
    photo.row = createRow(photo.name, () => {
      showPhoto(photo);
      byId("stage").scrollIntoView({ block: "nearest" }); // on a phone it is below the list
    });
    return photo;
  });
  photos.push(...newPhotos);
  byId("list").append(...newPhotos.map((photo) => photo.row));
  byId("photos").hidden = photos.length < 2;
  for (const photo of newPhotos) drawThumbnail(photo.row, photo.file);
  if (!inProgress || !current) showPhoto(newPhotos[0]);
  if (focusFirst && photos.length > 1) newPhotos[0].row.querySelector("button").focus();
  updateProgress();
  predictWaiting(focusFirst && photos.length === 1);
}

async function predictWaiting(moveFocus) {
  if (inProgress) return;
  const { signal } = predictRequests;
  for (let next; !signal.aborted && (next = photos.find((photo) => !photo.prediction && !photo.error)); ) {
    inProgress = next;
    setStatus(next.row, "Looking …");
    if (next === current) showPending(next);
    await predictPhoto(next, signal);
    if (signal.aborted) return;
    inProgress = null;
    updateProgress();
    if (next.error && photos.length === 1) {
      reset();
      showError(next.error);
      return;
    }
    if (next === current) showPrediction(next);
    if (moveFocus) byId("again").focus(); // the field that had the focus is hidden now
  }
  if (photos.length > 1) byId("announcement").textContent = byId("progress").textContent;
}

async function predictPhoto(photo, signal) {
  const started = performance.now();
  try {
    if (photo.file.size > limit) throw new Error(`This file has ${(photo.file.size / 1e6).toFixed(1)} MB; up to ${limit / 1e6} MB are taken.`);
    photo.prediction = await requestPrediction(photo, "", signal);
    photo.seconds = (performance.now() - started) / 1000;
    showStatus(photo);
  } catch (error) {
    if (error.name === "AbortError") return;
    photo.error = error.message;
    setStatus(photo.row, error.message, { failed: true });
  }
}

function showStatus(photo) {
  const [best] = photo.prediction.predictions;
  const { unlike } = photo.prediction;
  const unsure = isUnsure(photo.prediction);
  const text = `${best.class}, ${percent(best.probability)}${unlike ? "; unlike what was learned" : ""}`;
  setStatus(photo.row, unsure ? `not sure: ${text}` : text, { unlike: unlike && !unsure, unsure });
}

/* Whether a prediction is "not sure", as with `realwaste predict --min-confidence`; at 0 nothing is. */
function isUnsure(prediction) {
  const threshold = byId("threshold").value / 100;
  return threshold > 0 && (Boolean(prediction.unlike) || prediction.predictions[0].probability < threshold);
}

function applyThreshold() {
  const { value } = byId("threshold");
  byId("threshold-value").textContent = value === "0" ? "off" : `${value} %`;
  for (const photo of photos) if (photo.prediction) showStatus(photo);
  if (current?.prediction) showAnswer(current.prediction);
}

function csvRow(photo) {
  const { predictions: [best], strangeness, unlike } = photo.prediction ?? { predictions: [] };
  const unsure = photo.prediction ? isUnsure(photo.prediction) : null;
  return {
    path: photo.name,
    class: unsure ? "not sure" : best?.class,
    most_likely: best?.class,
    probability: best?.probability,
    strangeness,
    unlike,
    not_sure: unsure,
    error: photo.error,
  };
}

async function requestPrediction(photo, query, signal) {
  const headers = { "content-type": "application/octet-stream" };
  const prediction = await fetchJson(`predict?saliency=true${query}`, { method: "POST", body: photo.file, headers, signal });
  if (prediction.saliency_of) photo.heats.set(prediction.saliency_of, prediction.saliency);
  else if (query) throw new Error("This server has no TensorFlow, so it cannot show where the model looked.");
  return prediction;
}

function updateProgress() {
  const failed = photos.filter((photo) => photo.error).length;
  const done = photos.filter((photo) => photo.prediction).length;
  byId("csv").hidden = done === 0;
  byId("progress").textContent = `${done} of ${photos.length} answered${failed ? `, ${failed} refused` : ""}`;
}

/* Selects a photo. */
function showPhoto(photo) {
  saliencyRequest.abort();
  current = photo;
  showError("");
  for (const other of photos) other.row.querySelector("button").ariaCurrent = String(other === photo);
  URL.revokeObjectURL(byId("photo").src);
  showHeat(null);
  byId("photo").src = URL.createObjectURL(photo.file);
  byId("photo").alt = `Your photo: ${photo.name}`;
  byId("drop").hidden = true;
  byId("figure").hidden = false;
  byId("unshown").hidden = true;
  if (photo.prediction || photo.error) showPrediction(photo);
  else showPending(photo);
}

/* Shows the selected photo before its prediction is there. */
function showPending(photo) {
  byId("tools").hidden = photos.length < 2;
  byId("working").hidden = photo !== inProgress;
  showNoPrediction(photo === inProgress ? "Looking …" : "Waiting …");
}

function showPrediction(photo) {
  byId("working").hidden = true;
  byId("tools").hidden = false;
  if (photo.error) {
    showNoPrediction("No answer");
    showError(photo.error);
    return;
  }
  const { prediction } = photo;
  showAnswer(prediction);
  byId("unlike").hidden = !prediction.unlike;
  const rest = prediction.predictions.length - SHOWN;
  byId("hint").textContent = `Answered in ${photo.seconds.toFixed(2)} s. `
    + (rest > 0 ? `The ${rest} least likely classes are left out. ` : "") + "Choose a class to see what speaks for it.";
  const answer = `${byId("best-class").textContent}, ${byId("best-share").textContent}`;
  byId("announcement").textContent = `${answer}${prediction.unlike ? `. ${byId("unlike").textContent}` : ""}`;
  showClasses(prediction.predictions);
  showHeat(prediction.saliency_of);
}

/* The answer in large letters: the most probable class, or that the model is not sure. */
function showAnswer(prediction) {
  const [best] = prediction.predictions;
  const unsure = isUnsure(prediction);
  byId("best").classList.remove("none");
  byId("answer").classList.toggle("unsure", unsure);
  byId("best-class").textContent = unsure ? `Not sure: ${best.class}?` : best.class;
  byId("best-share").textContent = percent(best.probability);
}

/* Shows where the model looks for a class; requested once per class. */
async function showSaliency(targetClass) {
  const photo = current;
  if (!photo.heats.has(targetClass)) {
    saliencyRequest.abort();
    saliencyRequest = new AbortController();
    byId("working").hidden = false;
    try {
      await requestPrediction(photo, `&of=${encodeURIComponent(targetClass)}`, saliencyRequest.signal);
    } catch (error) {
      if (error.name !== "AbortError") showError(error.message);
      return;
    } finally {
      if (photo === current) byId("working").hidden = true;
    }
  }
  if (photo !== current) return;
  byId("show").checked = true;
  showHeat(targetClass);
  byId("stage").scrollIntoView({ block: "nearest" }); // on a phone the list is below the photo
}

function showHeat(targetClass) {
  const heat = targetClass === null ? null : current.heats.get(targetClass);
  if (heat) byId("heat").src = heat;
  byId("looked-for").textContent = targetClass === null ? "" : heat ? ` for ${targetClass}` : ` for ${targetClass}: nowhere in this photo`;
  byId("heat").dataset.of = heat ? targetClass : "";
  for (const button of byId("classes").querySelectorAll("button")) {
    button.ariaPressed = String(button.dataset.of === targetClass);
  }
  updateHeat();
}

function updateHeat() {
  byId("heat").hidden = !(byId("show").checked && byId("heat").dataset.of);
  byId("heat").style.opacity = byId("strength").value / 100;
  byId("strength").ariaValueText = `${byId("strength").value} percent`;
}

function showNoPrediction(text) {
  byId("best").classList.add("none");
  byId("answer").classList.remove("unsure");
  byId("best-class").textContent = text;
  byId("best-share").textContent = "";
  byId("unlike").hidden = true;
  byId("hint").textContent = "The model knows these classes:";
  showClasses(model.classes.map((name) => ({ class: name, probability: null })));
}

function reset() {
  predictRequests.abort();
  saliencyRequest.abort();
  predictRequests = new AbortController();
  photos = [];
  current = inProgress = null;
  byId("list").replaceChildren();
  for (const id of ["photos", "csv", "working", "figure", "unshown", "tools"]) byId(id).hidden = true;
  byId("drop").hidden = false;
  byId("file").value = "";
  showNoPrediction("No photo yet");
}

function acceptFiles(list) {
  if (list.length) addPhotos([...list]);
  else showError("That was no file. Save the picture first, then drop or choose it.");
}

byId("file").addEventListener("change", () => {
  if (byId("file").files.length) acceptFiles(byId("file").files);
  byId("file").value = ""; // so that the same file can be chosen again
});
byId("more").addEventListener("click", () => byId("file").click());
enableArrowKeys(byId("list"));
byId("show").addEventListener("change", updateHeat);
byId("threshold").addEventListener("input", applyThreshold);
byId("csv").addEventListener("click", () => downloadCsv(photos.filter((photo) => photo.prediction || photo.error).map(csvRow)));
byId("strength").addEventListener("input", updateHeat);
byId("again").addEventListener("click", () => {
  reset();
  showError("");
  byId("file").focus();
  byId("file").click();
});
byId("photo").addEventListener("error", () => {
  if (!current) return;
  byId("figure").hidden = true;
  byId("unshown").hidden = false;
});

document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) acceptFiles(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("stage").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("stage").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("stage").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
  if (entries.some((entry) => entry?.isDirectory)) showError("Folders are not taken. Drop the photos that are in them.");
  else acceptFiles(event.dataTransfer.files);
});

byId("best").classList.add("none");
start().catch((error) => showError(error.message));
