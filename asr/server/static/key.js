// The key that some servers ask for; it is kept for as long as the page is open.
const key = () => document.querySelector("#key input").value;

export const headers = () => (key() ? {Authorization: `Bearer ${key()}`} : {});

// A browser cannot set headers of a WebSocket: the key goes among the protocols.
export const socketProtocols = () => (key() ? ["realtime", `openai-insecure-api-key.${key()}`] : []);

export const needsKey = (response) => response.status === 401;
