// Addresses are relative to the page, so that it works wherever the service is mounted.
// A server with keys shows only what the caller may use, so the document is read again when a key is entered.
let keys = {};
const page = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null, // the badge would call another server
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  requestInterceptor: (request) => {
    if (request.loadSpec) Object.assign(request.headers, keys);
    return request;
  },
  plugins: [
    () => ({
      statePlugins: {
        auth: {
          wrapActions: {
            authorize: (original) => (entered) => {
              const result = original(entered);
              if (entered.bearer) keys.Authorization = `Bearer ${entered.bearer.value}`;
              if (entered.header) keys["X-API-Key"] = entered.header.value;
              page.specActions.download("openapi.json");
              return result;
            },
            logout: (original) => (names) => {
              const result = original(names);
              keys = {};
              page.specActions.download("openapi.json");
              return result;
            },
          },
        },
      },
    }),
  ],
});
