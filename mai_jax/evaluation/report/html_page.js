"use strict";

for (const stack of document.querySelectorAll(".stack")) {
  const range = stack.querySelector("input");
  const cut = () => stack.style.setProperty("--cut", `${range.value}%`);
  range.addEventListener("input", cut);
  cut(); // browsers restore the slider position when a page is reloaded
}
