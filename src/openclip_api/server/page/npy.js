// NumPy's file format, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

/** Numbers → the bytes of a .npy file with them as float32 [N]. */
export function npy(numbers) {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${numbers.length},), }`;
  const start = 10; // magic, version, the header's length
  const length = Math.ceil((start + header.length + 1) / 64) * 64 - start; // what follows is aligned
  const bytes = new Uint8Array(start + length + 4 * numbers.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x93, ...ascii("NUMPY"), 1, 0]);
  view.setUint16(8, length, true);
  bytes.set(ascii(`${header.padEnd(length - 1)}\n`), start);
  numbers.forEach((number, i) => view.setFloat32(start + length + 4 * i, number, true));
  return bytes;
}

/** Has the browser save it. */
export function save(numbers, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([npy(numbers)], { type: "application/octet-stream" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function ascii(text) {
  return new TextEncoder().encode(text);
}
