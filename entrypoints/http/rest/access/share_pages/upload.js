
"use strict";
const form = document.querySelector("form");
const list = document.querySelector("ul");

// The bytes of a password as Basic takes them (RFC 7617).
function credentials(password) {
  const bytes = new TextEncoder().encode(`:${password}`);
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
}

function reason(request) {
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return "The connection was lost. Try again.";
  }
}

function upload(file, password) {
  const item = list.appendChild(document.createElement("li"));
  const bar = document.createElement("progress");
  item.append(file.name, " ", bar);
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) {
        bar.max = event.total;
        bar.value = event.loaded;
      }
    };
    request.onloadend = () => {
      const done = request.status === 201;
      item.className = done ? "done" : "failed";
      bar.replaceWith(done ? "\u2014 uploaded" : `\u2014 ${reason(request)}`);
      resolve();
    };
    request.open("PUT", `${location.pathname}?name=${encodeURIComponent(file.name)}`);
    if (password) {
      request.setRequestHeader("Authorization", credentials(password));
    }
    if (file.type) {
      request.setRequestHeader("Content-Type", file.type);
    }
    request.send(file);
  });
}

// Browsers ask people themselves when a 401 comes to a request that may have credentials, and wait. So the password is
// checked by one that has none of theirs, before anything is sent.
async function isLocked(password) {
  const headers = { Accept: "application/json", ...(password && { Authorization: credentials(password) }) };
  const response = await fetch(location.pathname, { headers, credentials: "omit", cache: "no-store" });
  return response.status === 401;
}

async function uploadAll(files, password) {
  if (await isLocked(password)) {
    const item = list.appendChild(document.createElement("li"));
    item.className = "failed";
    item.append("The password is missing or wrong.");
    return;
  }
  for (const file of files) {
    await upload(file, password);
  }
  form.elements.files.value = "";
}

form.onsubmit = async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await uploadAll(form.elements.files.files, form.elements.password.value);
  } catch {
    list.appendChild(document.createElement("li")).append("The connection was lost. Try again.");
  } finally {
    button.disabled = false;
  }
};
