/** What a hostile launcher does to the agent's socket, again and again until it is killed. */

export interface Abuse {
  /** After "a pod that". */
  readonly does: string;
  /** For BrokerLab's `abuse`; says one line as soon as it is at it. */
  readonly script: string;
}

/** In place of HTTP/2, then as HTTP/2 that no launcher speaks. */
const babble = (bytes: string): string => `
  say("at it");
  for (;;) {
    const socket = dial().resume();
    socket.write(${bytes});
    await happens(socket, "close");
  }
`;

export const ABUSES: Readonly<Record<string, Abuse>> = {
  rubbish: { does: "sends rubbish", script: babble("randomBytes(64 * 1024)") },
  connections: {
    does: "connects without end",
    script: `
      say("at it");
      for (let count = 0; ; count++) {
        const socket = dial().resume();
        await Promise.race([happens(socket, "connect"), happens(socket, "close")]);
        if (count % 2) socket.destroy();
      }
    `,
  },
  deaths: {
    does: "leaves half-way",
    script: `
      say("at it");
      for (;;) {
        const socket = dial();
        await Promise.race([happens(socket, "data"), happens(socket, "close")]);
        await new Promise((resolve) => setTimeout(resolve, 10));
        socket.destroy();
      }
    `,
  },
  frames: {
    does: "sends frames without end",
    // A server's settings, then pings, each of which wants an answer (RFC 9113, section 6.7).
    script: `
      const settings = Buffer.from("000000040000000000", "hex");
      const pings = Buffer.from("0000080600000000000000000000000000".repeat(4096), "hex");
      let told = false;
      for (;;) {
        const socket = dial().resume();
        let open = true;
        const closed = happens(socket, "close").then(() => { open = false; });
        socket.write(settings);
        if (!told) { told = true; say("at it"); }
        while (open) {
          if (!socket.write(pings)) await Promise.race([happens(socket, "drain"), closed]);
          await new Promise(setImmediate);
        }
      }
    `,
  },
};
