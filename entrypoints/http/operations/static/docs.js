// No validator: that would send the description to another host.
SwaggerUIBundle({ url: "/docs/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
