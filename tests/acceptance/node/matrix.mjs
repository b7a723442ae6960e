// OpenAI's client in the fault matrix: many calls at once, each with a key of its own, as one JSON object a line says:
//   {"id": 1, "do": "ask", "baseURL": ..., "key": ..., "body": {...}, "reads": 1}     reads: leave after so many tokens
//   {"id": 1, "do": "leave"}
// Answers with lines on stdout: {"id": 1, "opened": true} when a stream's head is there, {"id": 1, "spoken": true} when
// its first token is, then {"id": 1, "seen": {...}}.

import { createInterface } from "node:readline";

import OpenAI from "openai";

const DONE = "data: [DONE]\n\n";
const leaving = new Map();

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

// The answer as it is, with a look at its status and its last bytes.
function watched(seen) {
  return async (url, init) => {
    const response = await fetch(url, init);
    seen.statuses.push(response.status);
    if (response.body === null) return response;
    let tail = "";
    const decoder = new TextDecoder();
    const look = new TransformStream({
      transform(data, controller) {
        tail = (tail + decoder.decode(data, { stream: true })).slice(-DONE.length);
        seen.ended_by_done = tail === DONE;
        controller.enqueue(data);
      },
    });
    return new Response(response.body.pipeThrough(look), response);
  };
}

// A choice of an answer, or of a chunk. Whether there was a token in it.
function take(seen, { index, message, delta, finish_reason }) {
  const said = message ?? delta;
  const [text, thoughts] = [said.content ?? "", said.reasoning_content ?? ""];
  seen.texts[index] = (seen.texts[index] ?? "") + text;
  seen.thoughts += thoughts;
  if (finish_reason !== null) seen.finishes[index] = finish_reason;
  return text !== "" || thoughts !== "";
}

async function ask({ id, baseURL, key, body, reads }) {
  const seen = { texts: {}, finishes: {}, thoughts: "", statuses: [], ended_by_done: false, left: false };
  const client = new OpenAI({ baseURL, apiKey: key, fetch: watched(seen) });
  const controller = new AbortController();
  leaving.set(id, () => {
    seen.left = true;
    controller.abort();
  });
  try {
    const answer = await client.chat.completions.create(body, { signal: controller.signal });
    if (!body.stream) {
      for (const choice of answer.choices) take(seen, choice);
    } else {
      say({ id, opened: true });
      let tokens = 0;
      for await (const chunk of answer) {
        const before = tokens;
        for (const choice of chunk.choices) tokens += take(seen, choice);
        if (tokens && !before) say({ id, spoken: true });
        if (reads && tokens >= reads) {
          seen.left = true;
          answer.controller.abort();
          break;
        }
      }
    }
  } catch (error) {
    if (!seen.left) {
      Object.assign(seen, {
        error: error.code ?? error.message,
        raised: error.constructor.name,
        status: error.status ?? null,
      });
    }
  }
  leaving.delete(id);
  say({ id, seen });
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  if (order.do === "leave") {
    leaving.get(order.id)?.();
  } else {
    ask(order);
  }
}
