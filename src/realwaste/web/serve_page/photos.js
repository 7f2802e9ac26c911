// The rows of several photos: a small picture, the name, and what was said of it. Each is a button that shows its photo.

const SIDE = 96; // pixels of a small picture, for screens of two a point

let drawing = Promise.resolve(); // one photo after the other: many megapixels each

/** A row for a photo, waiting. */
export function row(name, choose) {
  const made = document.createElement("li");
  const button = document.createElement("button");
  const picture = document.createElement("canvas");
  picture.width = picture.height = SIDE;
  picture.ariaHidden = "true";
  button.type = "button";
  button.append(picture, part("name", name), part("said", "Waiting"));
  button.addEventListener("click", choose);
  made.append(button);
  return made;
}

function part(kind, text) {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  return made;
}

/** What is to be read of a photo: its answer, what is wrong with it, or that it waits. */
export function say(own, words, { failed = false, unlike = false } = {}) {
  const said = own.querySelector(".said");
  said.textContent = words;
  said.classList.toggle("failed", failed);
  said.classList.toggle("strange", unlike);
}

/** Fill the row's small picture, when its turn comes; it stays empty where the browser cannot show the file. */
export function draw(own, file) {
  drawing = drawing.then(async () => {
    const picture = own.querySelector("canvas");
    if (!own.isConnected) return;
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

/** Up, down, Home and End go from row to row; so does Tab. */
export function walk(list) {
  list.addEventListener("keydown", (event) => {
    const rows = [...list.querySelectorAll("button")];
    const here = rows.indexOf(document.activeElement);
    const there = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (here < 0 || there === undefined) return;
    event.preventDefault();
    rows[Math.min(Math.max(there, 0), rows.length - 1)].focus();
  });
}
