// The page: plain DOM, no build step. What people and models say goes into textContent alone, so none of it is ever markup.

const conversation = document.body.dataset.conversation;
const status = document.getElementById("status");
const wide = window.matchMedia("(min-width: 60rem)");

class Refused extends Error {
  // stored: whether the server has kept what was asked.
  constructor(message, stored = false) {
    super(message);
    this.stored = stored;
  }
}

// Ask the REST API.
async function ask(path, body) {
  const options = body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let reply;
  try {
    reply = await fetch(`/api/${path}`, options);
  } catch {
    throw new Refused("The chat cannot be reached. Is its server running?");
  }
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(told.error?.message ?? `The server answered ${reply.status}.`, reply.status >= 500);
  return told;
}

function say(text, alarm = false) {
  status.textContent = text;
  status.classList.toggle("alarm", alarm);
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

async function list() {
  const rows = (await ask("conversations")).map((each) => {
    const link = element("a", "", each.title || "Nothing said yet");
    link.href = `/c/${encodeURIComponent(each.id)}`;
    if (each.id === conversation) link.setAttribute("aria-current", "page");
    const row = document.createElement("li");
    row.append(link);
    return row;
  });
  document.getElementById("conversations").replaceChildren(...rows);
}

// -- the start: somebody to talk to --

function start() {
  for (const button of document.querySelectorAll("[data-character]")) {
    button.addEventListener("click", async () => {
      try {
        const made = await ask("conversations", { character: button.dataset.character });
        location.assign(`/c/${encodeURIComponent(made.id)}`);
      } catch (error) {
        say(error.message, true);
      }
    });
  }
}

// -- a conversation --

function chat() {
  const log = document.getElementById("log");
  const form = document.getElementById("form");
  const text = document.getElementById("text");
  const send = document.getElementById("send");
  const stop = document.getElementById("stop");
  const regenerate = document.getElementById("regenerate");
  const here = `conversations/${encodeURIComponent(conversation)}`;

  // What was asked last, the answer to it while it is being written, and the socket over which it comes.
  let asked = {};
  let growing = null;
  let socket = null;

  const STATES = {
    broken: "broke off", stopped: "stopped", failed: "no answer", degraded: "stand-in", writing: "being written",
  };

  function add(role, words = "") {
    const article = element("article", role, "");
    article.setAttribute("aria-label", role === "user" ? "You" : document.getElementById("name").textContent);
    article.append(element("p", "text", words), element("footer", "", ""));
    log.append(article);
    return article;
  }

  // A message as it is stored.
  function show(article, message) {
    article.className = `${message.role} ${message.state}`;
    article.querySelector(".text").textContent = message.text;
    if (message.role !== "assistant") return;
    sign(article, message);
  }

  // How an answer ended, who served, and who was tried before.
  function sign(article, message) {
    const footer = article.querySelector("footer");
    footer.replaceChildren();
    if (message.state in STATES) footer.append(element("span", "state", STATES[message.state]));
    if (message.model) footer.append(element("span", "model", message.model));
    const failed = message.attempts.filter((each) => each.reason && each.reason !== "cancelled");
    const before = message.state === "broken" ? failed.slice(0, -1) : failed;
    if (before.length) {
      const said = before.map((each) => each.said).join(", ");
      footer.append(element("span", "fallback", message.model ? ` · ${said}` : said));
    }
  }

  function follow(change) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    change();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  function idle() {
    growing = null;
    log.setAttribute("aria-busy", "false");
    buttons(false, false);
  }

  function waiting() {
    log.setAttribute("aria-busy", "true");
    buttons(true, false);
    say("Asking…");
  }

  // Show the buttons that do something now. A focus on one that goes is handed on.
  function buttons(busy, stoppable) {
    const focused = document.activeElement;
    send.disabled = busy;
    send.hidden = stoppable;
    stop.hidden = !stoppable;
    regenerate.hidden = busy || !log.querySelector("article.user");
    if (focused.hidden || focused.disabled) (stoppable ? stop : busy ? text : send).focus();
  }

  // What was not carried out is not lost: it goes back to where it was written.
  function giveBack() {
    if (asked.text && !text.value) text.value = asked.text;
  }

  // Read the conversation, and show it as it stands.
  async function read() {
    const found = await ask(here);
    // Meanwhile something else was asked, and the page knows more than this.
    if (growing) return;
    document.title = `${found.name} · Chat`;
    document.getElementById("name").textContent = found.name;
    document.getElementById("about").textContent = found.about;
    log.replaceChildren();
    add("assistant", found.greeting);
    for (const message of found.messages) show(add(message.role), message);
    log.scrollTop = log.scrollHeight;
    if (found.writing) {
      // Another page has asked, or this one was reloaded and the server has yet to notice.
      buttons(true, false);
      setTimeout(() => read().catch((error) => say(error.message, true)), 500);
    } else {
      idle();
    }
  }

  // One frame of the WebSocket; README.md has them all.
  function take(frame) {
    if (frame.type === "notice") {
      say(frame.text);
    } else if (frame.type === "begin") {
      say("");
      sign(growing, frame);
    } else if (frame.type === "token") {
      follow(() => growing.querySelector(".text").append(frame.text));
    } else {
      finish(frame);
    }
  }

  function finish(frame) {
    const { message } = frame;
    const article = growing;
    say("");
    if (frame.type === "error") say(frame.text, true);
    if (frame.type === "broken") say("The answer broke off. Regenerate it, or go on.", true);
    idle();
    if (!message) {
      giveBack();
      read().catch((error) => say(error.message, true));
    } else if (!message.shown) {
      if (frame.type === "broken") say("The new answer broke off; the one before it stands.", true);
      read().catch((error) => say(error.message, true));
    } else if (article) {
      follow(() => show(article, message));
    }
    list().catch(() => {});
  }

  function connected() {
    if (socket?.readyState === WebSocket.OPEN) return Promise.resolve(socket);
    return new Promise((resolve, reject) => {
      const made = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/${here}/socket`);
      let opened = false;
      made.addEventListener("open", () => {
        opened = true;
        resolve(made);
      });
      made.addEventListener("message", (event) => take(JSON.parse(event.data)));
      made.addEventListener("close", () => {
        if (!opened) {
          reject(new Refused("The chat cannot be reached. Is its server running?"));
        } else if (growing) {
          idle();
          say("The connection was lost. What came of the answer is kept.", true);
          read().catch(() => {});
        }
      });
      socket = made;
    });
  }

  async function overSocket() {
    const open = await connected();
    open.send(JSON.stringify(asked));
    buttons(true, true);
  }

  async function overRest() {
    let failure = null;
    try {
      if (asked.regenerate) await ask(`${here}/regenerate`, {});
      else await ask(`${here}/messages`, asked);
    } catch (error) {
      if (!error.stored) throw error;
      failure = error;
    }
    growing = null;
    await read();
    say(failure ? failure.message : "", failure !== null);
    list().catch(() => {});
  }

  async function go(what) {
    asked = what;
    const streams = form.elements.way.value === "socket";
    const before = [...log.children];
    if (asked.text) add("user", asked.text);
    else if (log.lastElementChild.classList.contains("assistant")) log.lastElementChild.remove();
    growing = add("assistant writing");
    log.scrollTop = log.scrollHeight;
    waiting();
    try {
      await (streams ? overSocket() : overRest());
    } catch (error) {
      // The conversation stands as it stood.
      log.replaceChildren(...before);
      idle();
      giveBack();
      say(error.message, true);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || send.disabled) return;
    text.value = "";
    go({ text: words });
  });
  // Enter sends, Shift+Enter makes a new line; not while a word is still being composed (IME).
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !stop.hidden) stop.click();
  });
  stop.addEventListener("click", () => socket.send(JSON.stringify({ type: "stop" })));
  regenerate.addEventListener("click", () => go({ regenerate: true }));
  read().catch((error) => {
    say(error.message, true);
    send.disabled = true;
  });
}

const menu = document.getElementById("menu");
menu.open = wide.matches;
wide.addEventListener("change", () => { menu.open = wide.matches; });
list().catch((error) => say(error.message, true));
if (conversation) chat();
else start();
