// Worker for face-api's expression network on PNG faces, run by benchmarks/peers.py in its own Node project:
// node face_api.js TASK.json ANSWER.json
// The library prepares the face: 112×112 RGB, mean subtracted, divided by 255 (FaceFeatureExtractor).
"use strict";

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const [taskFile, answerFile] = process.argv.slice(2);
const task = JSON.parse(fs.readFileSync(taskFile, "utf8"));
const project = createRequire(path.join(task.environment, "package.json"));

const tf = project("@tensorflow/tfjs");
const wasm = project("@tensorflow/tfjs-backend-wasm");
const { PNG } = project("pngjs");
const faceapi = project("@vladmandic/face-api/dist/face-api.node-wasm.js");

async function expression(bytes) {
  const { data, width, height } = PNG.sync.read(bytes);
  const rgb = new Int32Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  const face = tf.tensor3d(rgb, [height, width, 3], "int32");
  const probs = await faceapi.nets.faceExpressionNet.predictExpressions(face);
  face.dispose();
  return probs.asSortedArray()[0].expression;
}

async function main() {
  wasm.setWasmPaths(path.dirname(project.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep);
  await tf.setBackend("wasm");
  await tf.ready();
  await faceapi.nets.faceExpressionNet.loadFromDisk(task.weights);
  const faces = fs.readdirSync(task.faces).sort().slice(0, task.limit).map((name) => fs.readFileSync(path.join(task.faces, name)));
  for (let i = 0; i < task.warm; i++) await expression(faces[i % faces.length]);
  const labels = [];
  const milliseconds = [];
  for (const bytes of faces) {
    const started = process.hrtime.bigint();
    const label = await expression(bytes);
    milliseconds.push(Number(process.hrtime.bigint() - started) / 1e6);
    labels.push(label);
  }
  const versions = { node: process.versions.node, tfjs: tf.version_core, "face-api": String(faceapi.version) };
  const simd = await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT");
  const threads = `WebAssembly${simd ? " with SIMD" : ""}, ${wasm.getThreadsCount()} thread(s)`;
  const answer = { variants: { "face-api": { labels, milliseconds } }, versions, threads };
  fs.writeFileSync(answerFile, JSON.stringify(answer));
}

main();
