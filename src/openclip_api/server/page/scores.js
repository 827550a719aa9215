// From vectors to what a reader sees. The formulas are those of the server's /classify.

export function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

export function norm(vector) {
  return Math.sqrt(dot(vector, vector));
}

/** As the model scales a cosine before a softmax, or for SigLIP before a sigmoid. */
export function logit(cosine, info) {
  return cosine * (info.logit_scale ?? 1) + (info.logit_bias ?? 0);
}

/** Logits of what competes → probabilities: a sigmoid for each where the model has a bias, else a softmax. */
export function probabilities(logits, info) {
  if (info.logit_bias !== null) return logits.map((value) => 1 / (1 + Math.exp(-value)));
  const highest = Math.max(...logits);
  const exponentials = logits.map((value) => Math.exp(value - highest));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}
