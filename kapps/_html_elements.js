// Returns an element of HTML with properties, or attributes where it has no such property, and children.
function createHtml(tag, properties = {}, ...children) {
  const result = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) key in result && key !== 'list' ? result[key] = value : result.setAttribute(key, value);
  result.append(...children);
  return result;
}

function createSvg(tag, attributes = {}, ...children) {
  const result = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) result.setAttribute(key, value);
  result.append(...children);
  return result;
}
