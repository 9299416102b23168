// Shows the form of each operation, sends its request to this server and shows the response as text, never as HTML.
"use strict";

for (const form of document.querySelectorAll("form.try")) {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const output = form.querySelector(".response"), button = form.querySelector("button");
    button.disabled = true;
    output.replaceChildren("…");
    try {
      output.replaceChildren(...await send(form));
    } catch (error) {
      output.replaceChildren(`no response: ${error.message}`);
    }
    button.disabled = false;
  });
}

async function send(form) {
  let path = form.dataset.path;
  const options = { method: form.dataset.method }, formData = new FormData();
  for (const field of form.elements) {
    if (field.dataset.in === "path") {
      path = path.replace(`{${field.name}}`, encodeURIComponent(field.value).replaceAll("%2F", "/"));
    } else if (field.dataset.in === "raw") {
      options.body = field.files[0];
      options.headers = { "Content-Type": field.files[0].type || "application/octet-stream" };
    } else if (field.dataset.in === "form" && field.value !== "") {
      formData.append(field.name, field.type === "file" ? field.files[0] : field.value);
    }
  }
  if (form.dataset.body === "form") {
    options.body = formData;
  }
  const startTime = performance.now();
  const response = await fetch("." + path, options);
  const text = await response.text();
  const status = document.createElement("p");
  status.textContent = `${response.status} ${response.statusText} · ${Math.round(performance.now() - startTime)} ms · ${text.length} characters`;
  return [status, ...formatted(text)];
}

// JSON with indentation, followed by the image that it holds, if any.
function formatted(text) {
  const block = document.createElement("pre");
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    block.textContent = text;
    return [block];
  }
  const images = [];
  if (value && typeof value.overlay === "string") {
    const image = document.createElement("img");
    image.src = `data:image/png;base64,${value.overlay}`;
    image.alt = "the map drawn over the face";
    images.push(image);
    value.overlay = `(a PNG file, ${value.overlay.length} characters of base64)`;
  }
  block.textContent = JSON.stringify(value, null, 2);
  return [block, ...images];
}
