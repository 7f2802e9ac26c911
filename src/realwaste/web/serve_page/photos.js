// The list of photos: each row has a thumbnail, the file name and the prediction, and is a button that selects its photo.

import { element } from "./page.js";

const SIDE = 96; // pixels of a thumbnail, on screens with two pixels per point

let drawing = Promise.resolve(); // one photo at a time: each may have many megapixels

/** The row of a photo that waits for its prediction. */
export function createRow(name, onSelect) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const picture = document.createElement("canvas");
  picture.width = picture.height = SIDE;
  picture.ariaHidden = "true";
  button.type = "button";
  button.append(picture, element("span", name, "name"), element("span", "Waiting", "status"));
  button.addEventListener("click", onSelect);
  item.append(button);
  return item;
}

/** Shows the prediction of a row's photo, its error, or that it waits. */
export function setStatus(row, text, { failed = false, unlike = false, unsure = false } = {}) {
  const status = row.querySelector(".status");
  status.textContent = text;
  status.classList.toggle("failed", failed);
  status.classList.toggle("strange", unlike);
  status.classList.toggle("unsure", unsure);
}

/** Draws the row's thumbnail, one photo after the other; it stays empty if the browser cannot show the file. */
export function drawThumbnail(row, file) {
  drawing = drawing.then(async () => {
    const picture = row.querySelector("canvas");
    if (!row.isConnected) return;
    try {
      const image = await createImageBitmap(file);
      const scale = SIDE / Math.min(image.width, image.height);
      const [width, height] = [image.width * scale, image.height * scale];
      picture.getContext("2d").drawImage(image, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
      image.close();
      picture.classList.add("drawn");
    } catch {
      picture.classList.add("unshown");
    }
  });
}

/** Moves the focus between rows with the arrow keys, Home and End; Tab does too. */
export function enableArrowKeys(list) {
  list.addEventListener("keydown", (event) => {
    const rows = [...list.querySelectorAll("button")];
    const here = rows.indexOf(document.activeElement);
    const there = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (here < 0 || there === undefined) return;
    event.preventDefault();
    rows[Math.min(Math.max(there, 0), rows.length - 1)].focus();
  });
}
