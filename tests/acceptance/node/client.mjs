// Runs OpenAI's client as it is told, one JSON object a line on stdin:
//   {"do": "complete", "body": {...}}
// and answers each with lines on stdout: {"chunk": ...} for each chunk of a stream as it comes, then one of
// {"value": ...} and {"error": ...}, with the status of every HTTP answer that it took.
// The first argument is the JSON of the options that the client is made with.

import { createInterface } from "node:readline";

import OpenAI from "openai";

let statuses = [];

async function counted(url, init) {
  const response = await fetch(url, init);
  statuses.push(response.status);
  return response;
}

const client = new OpenAI({ ...JSON.parse(process.argv[2]), fetch: counted });

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

const actions = {
  async complete(body) {
    const answer = await client.chat.completions.create(body);
    return { ...answer, _request_id: answer._request_id };
  },

  async stream(body) {
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
      say({ chunk });
    }
    return null;
  },

  async headers(body) {
    const { response, request_id } = await client.chat.completions.create(body).withResponse();
    return { headers: Object.fromEntries(response.headers), request_id };
  },

  async models() {
    const listed = [];
    for await (const model of client.models.list()) {
      listed.push(model);
    }
    return listed;
  },

  async model(id) {
    return client.models.retrieve(id);
  },

  async embed(body) {
    return client.embeddings.create(body);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, body } = JSON.parse(line);
  statuses = [];
  try {
    say({ value: await actions[action](body), statuses });
  } catch (error) {
    const { message, status, code, param, type, requestID } = error;
    say({ error: { class: error.constructor.name, message, status, code, param, type, requestID }, statuses });
  }
}
