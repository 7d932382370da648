/** Saves text made in the page as a file. @param {string} name @param {string} text @param {string} type */
export function saveFile(name, text, type) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(new Blob([text], { type })), download: name,
  });
  link.click();
  URL.revokeObjectURL(link.href);
}
