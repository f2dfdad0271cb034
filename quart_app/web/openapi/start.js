// Addresses are relative to the page, so that it works wherever the service is mounted.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null, // the badge would ask a server elsewhere
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
