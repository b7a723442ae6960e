// Runs a client as it is told, one JSON object a line on stdin:
//   {"do": "complete", "body": {...}}
// and answers each with lines on stdout: {"chunk": ...} for each piece of a stream as it comes, then one of
// {"value": ...} and {"error": ...}, with the status of every HTTP answer that it took.
// The first argument is the JSON of the options that the client is made with.

import { createInterface } from "node:readline";

let statuses = [];

export const options = JSON.parse(process.argv[2]);

export async function counted(url, init) {
  const response = await fetch(url, init);
  statuses.push(response.status);
  return response;
}

export function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

// `actions` by their names; `shown` is what is said of an error.
export async function serve(actions, shown) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: action, body } = JSON.parse(line);
    statuses = [];
    try {
      say({ value: await actions[action](body), statuses });
    } catch (error) {
      say({ error: { class: error.constructor.name, message: error.message, ...shown(error) }, statuses });
    }
  }
}
