import assert from "node:assert/strict";
import { test } from "node:test";
import { connectedTo } from "./kube-sockets.ts";

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:8A5C 0100007F:192B 01 00000000:00000000 02:000003E8 00000000     0        0 111 2 0000000000000000 20 4 30 10 -1
   1: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0000000000000000 100 0 0 10 0
   2: 0100007F:8A5E 0100007F:192B 06 00000000:00000000 03:00000EA6 00000000     0        0 0 3 0000000000000000
   3: 0100007F:8A60 0100007F:01BB 01 00000000:00000000 02:000003E8 00000000     0        0 333 2 0000000000000000 20 4 30 10 -1
`;

test("sockets that are connected to the port count; listeners, ended ones and other ports do not", () => {
  assert.deepEqual([...connectedTo(6443, TABLE)], ["111"]);
});
