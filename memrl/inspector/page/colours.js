// Colours of the theme, and of numbers: zero is the ground, signs are blue and orange.

const SHADES = 128;

/** @type {Map<string, string>} */
const themeColours = new Map();
/** @type {{one: Uint8ClampedArray, two: Uint8ClampedArray} | null} */
let shades = null;

/** @param {string} name of a colour in page.css */
function colour(name) {
  let found = themeColours.get(name);
  if (found === undefined) {
    found = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    themeColours.set(name, found);
  }
  return found;
}

/** Forget the colours of the old theme. */
function forgetColours() {
  themeColours.clear();
  shades = null;
}

/** Is the page dark now? */
function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

/** @param {boolean} dark */
function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  forgetColours();
}

/**
 * Red, green and blue.
 * @param {string} name
 */
function channels(name) {
  const hex = colour(name).slice(1);
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/**
 * Colours from one to the next, as RGB triples.
 * @param {string[]} names
 */
function ramp(names) {
  const stops = names.map(channels);
  const found = new Uint8ClampedArray(3 * (SHADES + 1));
  for (let i = 0; i <= SHADES; i++) {
    const place = (i / SHADES) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      found[3 * i + c] = stops[left][c] + (place - left) * (stops[left + 1][c] - stops[left][c]);
    }
  }
  return found;
}

/**
 * Write the colour of a number into four bytes of an image.
 * @param {Uint8ClampedArray} pixels
 * @param {number} at
 * @param {number} value
 * @param {number} low 0, or −high where numbers have signs
 * @param {number} high
 */
function paint(pixels, at, value, low, high) {
  shades ||= {
    one: ramp(["map-zero", "map-mid", "map-most"]),
    two: ramp(["map-minus", "map-zero", "map-plus"]),
  };
  const table = low < 0 ? shades.two : shades.one;
  const known = Number.isNaN(value) ? 0 : value;
  const share = Math.max(0, Math.min(1, (known - low) / (high - low)));
  const shade = 3 * Math.round(share * SHADES);
  pixels[at] = table[shade];
  pixels[at + 1] = table[shade + 1];
  pixels[at + 2] = table[shade + 2];
  pixels[at + 3] = 255;
}
