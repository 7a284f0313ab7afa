import { McpServer, type Server, type ServerContext } from "@modelcontextprotocol/server";
import { ProblemError } from "../canon/index.ts";
import { Face, type FaceDeps, type FaceOptions } from "./face.ts";

/** Resources of which one client hears. */
const MOST_SUBSCRIBED = 1000;

/** The official server finds a tool's schema here when it checks the headers that repeat its arguments. */
class FaceServer extends McpServer {
  schemaOf: (tool: string) => Record<string, unknown> | undefined = () => undefined;

  override toolInputSchemaJson(name: string): Record<string, unknown> | undefined {
    return this.schemaOf(name);
  }
}

/** The server that one caller talks to: all that the upstream servers offer, as far as this caller may use it. */
export function openFace(deps: FaceDeps, options: FaceOptions): McpServer {
  const open = new FaceServer(
    { name: "gimbal", title: "Gimbal", version: deps.version },
    {
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        completions: {},
        logging: {},
      },
    },
  );
  const { server } = open;
  const face = new Face(deps, options, server);
  open.schemaOf = (name) => face.schemaOf(name);
  server.setRequestHandler("tools/list", () => face.guarded(() => face.tools()));
  server.setRequestHandler("tools/call", ({ params }, context) =>
    face.guarded(() => face.call(params.name, params.arguments ?? {}, context)),
  );
  server.setRequestHandler("prompts/list", () => face.guarded(() => face.prompts()));
  server.setRequestHandler("prompts/get", ({ params }, context) =>
    face.guarded(() => {
      const { upstream, value } = face.prompt(params.name);
      return face.ask(upstream, context, (client, asked, carried) => client.getPrompt({ ...params, ...carried, name: value.name }, asked));
    }),
  );
  server.setRequestHandler("resources/list", () => face.guarded(() => face.resources()));
  server.setRequestHandler("resources/templates/list", () => face.guarded(() => face.templates()));
  server.setRequestHandler("resources/read", ({ params }, context) =>
    face.guarded(() =>
      face.ask(face.resource(params.uri).upstream, context, (client, asked, carried) =>
        client.readResource({ ...carried, uri: params.uri }, { ...asked, cacheMode: "bypass" }),
      ),
    ),
  );
  if (options.subscriptions) mountSubscriptions(server, face, options.subscriptions);
  server.setRequestHandler("completion/complete", ({ params }, context) =>
    face.guarded(() => {
      const { ref } = params;
      if (ref.type === "ref/resource")
        return face.ask(face.template(ref.uri).upstream, context, (client, asked) => client.complete(params, asked));
      const { upstream, value } = face.prompt(ref.name);
      return face.ask(upstream, context, (client, asked) => client.complete({ ...params, ref: { ...ref, name: value.name } }, asked));
    }),
  );
  return open;
}

/** Only the older revision asks so; by the newer one, a client listens. */
function mountSubscriptions(server: Server, face: Face, subscriptions: Map<string, () => void>): void {
  server.setRequestHandler("resources/subscribe", ({ params: { uri } }, context: ServerContext) =>
    face.guarded(async () => {
      const { upstream } = face.resource(uri);
      if (subscriptions.has(uri)) return {};
      if (subscriptions.size >= MOST_SUBSCRIBED)
        throw new ProblemError({ kind: "rate_limited", message: `A client hears of at most ${MOST_SUBSCRIBED} resources.` });
      subscriptions.set(uri, await upstream.watch(uri, context.mcpReq.signal));
      return {};
    }),
  );
  server.setRequestHandler("resources/unsubscribe", ({ params: { uri } }) =>
    face.guarded(() => {
      subscriptions.get(uri)?.();
      subscriptions.delete(uri);
      return {};
    }),
  );
}
