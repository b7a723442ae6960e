// OpenAI's client, as lines.mjs says.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { counted, options, say, serve } from "./lines.mjs";

const client = new OpenAI({ ...options, fetch: counted });

const Person = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()) });

function lookUp(seen) {
  const parameters = { type: "object", properties: { text: { type: "string" } }, required: ["text"] };
  const called = (args) => {
    seen.push(args);
    return "found";
  };
  return { type: "function", function: { name: "look_up", parse: JSON.parse, parameters, function: called } };
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

  // Stops after the first text.
  async abort(body) {
    const stream = await client.chat.completions.create({ ...body, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) {
        stream.controller.abort();
      }
    }
    return stream.controller.signal.aborted;
  },

  async headers(body) {
    const { response, request_id } = await client.chat.completions.create(body).withResponse();
    return { headers: Object.fromEntries(response.headers), request_id };
  },

  async response(body) {
    const response = await client.chat.completions.create(body).asResponse();
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
  },

  async parse(body) {
    const response_format = zodResponseFormat(Person, "person");
    const answer = await client.chat.completions.parse({ ...body, response_format });
    return { parsed: answer.choices[0].message.parsed, usage: answer.usage };
  },

  async parse_stream(body) {
    const stream = client.chat.completions.stream({ ...body, response_format: zodResponseFormat(Person, "person") });
    const answer = await stream.finalChatCompletion();
    return { parsed: answer.choices[0].message.parsed, usage: answer.usage };
  },

  async run_tools(body) {
    const seen = [];
    const runner = client.chat.completions.runTools({ ...body, tools: [lookUp(seen)] });
    const content = await runner.finalContent();
    return { seen, content, usage: await runner.totalUsage(), messages: runner.messages };
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

await serve(actions, ({ status, code, param, type, requestID }) => ({ status, code, param, type, requestID }));
