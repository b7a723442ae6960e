// Vercel's AI SDK over its OpenAI provider's chat models, as lines.mjs says.

import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, jsonSchema, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

import { counted, options, say, serve } from "./lines.mjs";

const provider = createOpenAI({ ...options, fetch: counted });

const Person = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()) });

function given({ model, ...body }) {
  return { model: provider.chat(model), maxRetries: 0, ...body };
}

function withTools(body, seen) {
  const execute = (args) => {
    seen.push(args);
    return "found";
  };
  const tools = { look_up: tool({ description: "Looks up.", inputSchema: z.object({ text: z.string() }), execute }) };
  return { ...given(body), tools, stopWhen: stepCountIs(3) };
}

async function drained(result) {
  for await (const part of result.fullStream) {
    if (part.type === "error") {
      throw part.error;
    }
    if (part.type === "text-delta") {
      say({ chunk: part.text });
    }
  }
}

const actions = {
  async generate(body) {
    const { text, reasoningText, finishReason, usage, response } = await generateText(given(body));
    return { text, reasoningText, finishReason, usage, headers: response.headers, body: response.body };
  },

  async stream(body) {
    const result = streamText({ ...given(body), onError() {} });
    await drained(result);
    return { finishReason: await result.finishReason, usage: await result.usage };
  },

  // Stops after the first text.
  async abort(body) {
    const controller = new AbortController();
    const result = streamText({ ...given(body), abortSignal: controller.signal });
    const types = [];
    for await (const part of result.fullStream) {
      types.push(part.type);
      if (part.type === "text-delta") {
        controller.abort();
      }
    }
    return types.at(-1);
  },

  async tools(body) {
    const seen = [];
    const { text, totalUsage, steps } = await generateText(withTools(body, seen));
    return { text, seen, usage: totalUsage, steps: steps.map((step) => step.finishReason) };
  },

  async stream_tools(body) {
    const seen = [];
    const result = streamText(withTools(body, seen));
    await drained(result);
    return { seen, usage: await result.totalUsage };
  },

  async object({ schema, ...body }) {
    const asked = schema ? jsonSchema(schema) : Person;
    const { object, usage } = await generateObject({ ...given(body), schema: asked });
    return { object, usage };
  },

  async output(body) {
    const { output } = await generateText({ ...given(body), output: Output.object({ schema: Person }) });
    return output;
  },

  async stream_object(body) {
    const result = streamObject({ ...given(body), schema: Person });
    for await (const chunk of result.partialObjectStream) {
      say({ chunk });
    }
    return { object: await result.object, usage: await result.usage };
  },
};

// What a stream breaks off with is the router's error object itself; what was refused has it within.
await serve(actions, (error) => {
  const { name, statusCode, isRetryable, data, responseHeaders } = error;
  const code = error.code ?? data?.error.code;
  return { name, statusCode, isRetryable, code, requestId: responseHeaders?.["x-request-id"] };
});
