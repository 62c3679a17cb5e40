// Tells textual-serve's script where the screen is, and gives the keys to it once it is there.
"use strict";

const socket = `${location.origin.replace(/^http/, "ws")}/ws`;
document.getElementById("terminal").dataset.sessionWebsocketUrl = socket;
new MutationObserver((changes, observer) => {
  if (document.body.classList.contains("-first-byte")) {
    observer.disconnect();
    document.querySelector(".xterm-helper-textarea").focus();
  }
}).observe(document.body, { attributeFilter: ["class"] });
