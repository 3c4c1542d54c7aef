// Keeps lists as they are now: asks for this page again, and takes over what has changed in it.
"use strict";

{ // names of its own, for another script may be on the page
  const EVERY = 1500; // ms
  const trouble = document.getElementById("changes");
  const { token } = trouble.dataset;

  // By XMLHttpRequest, which reads a page without running anything of it, as nothing else does here.
  function again() {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open("GET", location.href);
      request.responseType = "document";
      request.setRequestHeader("Accept", "text/html");
      if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
      request.onload = () => done(request);
      request.onerror = fail;
      request.send();
    });
  }

  // Puts what has changed into a list, and leaves the focus where it was.
  function fill(list, items) {
    const old = new Map([...list.children].map(item => [item.dataset.id, item]));
    const wanted = items.map(item => {
      const before = old.get(item.dataset.id);
      return before?.outerHTML === item.outerHTML ? before : document.adoptNode(item);
    });
    if (wanted.length === list.children.length && wanted.every((item, n) => item === list.children[n])) return;
    const focused = document.activeElement;
    list.replaceChildren(...wanted);
    if (list.contains(focused)) focused.focus();
  }

  function show(page) {
    for (const list of document.querySelectorAll("[data-live]")) {
      const now = page.getElementById(list.id);
      if (now) fill(list, [...now.children]);
    }
    for (const words of document.querySelectorAll("[data-shown-with]")) {
      const now = page.getElementById(words.id);
      if (!now) continue;
      words.hidden = now.hidden;
      if (words.textContent !== now.textContent && !words.children.length) words.textContent = now.textContent;
    }
  }

  async function look() {
    if (document.hidden) return;
    try {
      const { status, response } = await again();
      if (status === 401) trouble.textContent = "This page is too old to see changes; load it again.";
      else if (status === 404) trouble.textContent = "This workspace has ended, with its last client; you see what was there before.";
      else if (status === 200 || status === 403) {
        show(response);
        trouble.textContent = "";
      } else trouble.textContent = `The hub does not list them now (${status}).`;
    } catch {
      trouble.textContent = "The hub does not answer; you see what was there before.";
    }
  }

  (async () => {
    for (;;) {
      await new Promise(done => setTimeout(done, EVERY));
      await look();
    }
  })();
}
