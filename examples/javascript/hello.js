// Greets whoever the path names.

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const name = decodeURIComponent(new URL(request.url).pathname.slice(1)) || "world";
  console.log(`greeting ${name}`);
  return new Response(`Hello, ${name}!\n${await request.text()}`);
}
