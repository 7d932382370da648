// The outbox page: a reload button, and a toggle that polls for new messages and reloads when there are any.
const EVERY_MS = 3000;
const KEY = "vigil-outbox-follows";

const follow = document.querySelector("#follow");

function show(on) {
  follow.setAttribute("aria-pressed", String(on));
  follow.textContent = on ? "Following new mail" : "Follow new mail";
}

follow.addEventListener("click", () => {
  const on = follow.getAttribute("aria-pressed") !== "true";
  sessionStorage.setItem(KEY, on ? "on" : "off");
  show(on);
});
document.querySelector("#reload").addEventListener("click", () => location.reload());

const FORMAT = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };
for (const time of document.querySelectorAll("time")) {
  time.textContent = new Date(time.dateTime).toLocaleString([], FORMAT);
}

show(sessionStorage.getItem(KEY) === "on");

const shown = document.body.dataset.newest;
setInterval(async () => {
  if (follow.getAttribute("aria-pressed") !== "true" || document.hidden) return;
  const answer = await fetch("/dev/outbox.json").catch(() => null);
  if (!answer?.ok) return;
  const { messages } = await answer.json();
  if ((messages[0]?.sentAt ?? "") !== shown) location.reload();
}, EVERY_MS);
