// Shows each operation's form, sends its request to this server and shows the answer. Answers are shown as text, never as HTML.
"use strict";

for (const form of document.querySelectorAll("form.try")) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = form.querySelector(".answer"), button = form.querySelector("button");
    button.disabled = true;
    answer.replaceChildren("…");
    try {
      answer.replaceChildren(...await send(form));
    } catch (error) {
      answer.replaceChildren(`no answer: ${error.message}`);
    }
    button.disabled = false;
  });
}

async function send(form) {
  let path = form.dataset.path;
  const options = { method: form.dataset.method }, sent = new FormData();
  for (const field of form.elements) {
    if (field.dataset.in === "path") {
      path = path.replace(`{${field.name}}`, encodeURIComponent(field.value).replaceAll("%2F", "/"));
    } else if (field.dataset.in === "raw") {
      options.body = field.files[0];
      options.headers = { "Content-Type": field.files[0].type || "application/octet-stream" };
    } else if (field.dataset.in === "form" && field.value !== "") {
      sent.append(field.name, field.type === "file" ? field.files[0] : field.value);
    }
  }
  if (form.dataset.body === "form") {
    options.body = sent;
  }
  const began = performance.now();
  const response = await fetch("." + path, options);
  const text = await response.text();
  const status = document.createElement("p");
  status.textContent = `${response.status} ${response.statusText} · ${Math.round(performance.now() - began)} ms · ${text.length} characters`;
  return [status, ...shown(text)];
}

// JSON with indents; a picture in it as a picture.
function shown(text) {
  const block = document.createElement("pre");
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    block.textContent = text;
    return [block];
  }
  const pictures = [];
  if (value && typeof value.overlay === "string") {
    const picture = document.createElement("img");
    picture.src = `data:image/png;base64,${value.overlay}`;
    picture.alt = "the map over the face";
    pictures.push(picture);
    value.overlay = `(a PNG file, ${value.overlay.length} characters of base64)`;
  }
  block.textContent = JSON.stringify(value, null, 2);
  return [block, ...pictures];
}
