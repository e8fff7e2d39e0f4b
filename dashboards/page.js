const byId = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Text only ever becomes a text node.
function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

// The key tells which button has the focus, where what it stands in is drawn anew.
function button(text, key, action) {
  const made = element("button", text);
  made.type = "button";
  made.dataset.key = key;
  made.addEventListener("click", action);
  return made;
}

// Arrow keys scroll only what can have the focus, and what can have it needs a name.
function scrolling(label, name) {
  const made = element("div", undefined, name);
  made.tabIndex = 0;
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", label);
  return made;
}

const drawText = (text) => (text.length > 40 ? element("span", text, "long") : document.createTextNode(text));

function drawNotes(notes) {
  const list = element("ul", undefined, "notes");
  for (const note of notes) list.append(element("li", note));
  return list;
}

// Themes: as the system has it until the button says otherwise; what is painted is painted again.
const repaints = [];

function setTheme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  byId("theme").textContent = dark ? "Light" : "Dark";
  for (const repaint of repaints) repaint();
}

const isDark = () => document.documentElement.classList.contains("dark");
const toggleTheme = () => setTheme(!isDark());

function startTheme() {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(prefersDark.matches);
  prefersDark.addEventListener("change", (event) => setTheme(event.matches));
  byId("theme").addEventListener("click", toggleTheme);
}
