// Everything that is asked of each client, whatever its generation, transport and protocol. A case says in its name which
// items of the checklist it proves, and in needs what a client must be able to do.
import { invocations } from "./cases_invocations.mjs";
import { http } from "./cases_http.mjs";
import { ends } from "./cases_ends.mjs";
import { results } from "./cases_results.mjs";
import { stateful } from "./cases_stateful.mjs";
import { streams } from "./cases_streams.mjs";
import { targets } from "./cases_targets.mjs";

export const cases = [...invocations, ...streams, ...results, ...targets, ...http, ...ends, ...stateful];
